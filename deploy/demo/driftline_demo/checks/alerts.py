"""Point 6: the faults fire page alerts in a real Prometheus, a real Alertmanager calls, and both fall silent."""

from __future__ import annotations

import time

from driftline_demo.monitoring import Call, Monitoring
from driftline_demo.recording import Recording
from driftline_demo.table import Row
from driftline_demo.traffic import Phase

PAGE = "DriftlineSloBurnPage"
# What each fault must page for: no processor time makes the text model slow, a lost file makes the other one fail.
EXPECTED = {"router-latency": "latency by SIGSTOP pulses", "digits-availability": "errors by an unloaded version"}
CLEARS_WITHIN_SECONDS = 60.0


def rows(recording: Recording, monitoring: Monitoring) -> list[Row]:
    """Waits for silence, then tells."""
    _silence(monitoring)
    calls = monitoring.pager.calls("page")
    early = recording.rang_early
    told = ", ".join(map(str, sorted(early))) or "none"
    found = [Row(6, "pages for an objective before the fault", "none", told, not early)]
    for slo, fault in EXPECTED.items():
        found += _page(recording, calls, slo, fault)
    still = monitoring.pager.ringing("page")
    found.append(Row(6, "pages after recovery", "none", ", ".join(map(str, sorted(still))) or "none", not still))
    return found


def _silence(monitoring: Monitoring) -> None:
    end = time.monotonic() + CLEARS_WITHIN_SECONDS
    while monitoring.pager.ringing("page") and time.monotonic() < end:
        time.sleep(0.5)


def _page(recording: Recording, calls: list[Call], slo: str, fault: str) -> list[Row]:
    began, recovered = recording.began[Phase.FAULT], recording.began[Phase.RECOVERY]
    fires = [e.began for e in recording.episodes if (e.labels["alertname"], e.labels.get("slo")) == (PAGE, slo)]
    in_prometheus = min(fires, default=None)
    mine = [c for c in calls if c.name == PAGE and c.labels.get("slo") == slo]
    rang = next((c for c in mine if c.status == "firing"), None)
    cleared = next((c for c in reversed(mine) if c.status == "resolved"), None)
    # calls carry the monotonic clock, phases the wall clock
    offset = time.time() - time.monotonic()
    fired = "never" if in_prometheus is None else f"{in_prometheus - began:.0f} s after the fault began"
    called = "never" if rang is None else f"{rang.at + offset - began:.0f} s after the fault began"
    silent = "never" if cleared is None else f"{cleared.at + offset - recovered:.0f} s after recovery began"
    return [
        Row(6, f"{fault}: Prometheus fires {PAGE} for {slo}", "fires", fired, in_prometheus is not None),
        Row(6, f"{slo}: Alertmanager calls", "firing", called, rang is not None),
        Row(6, f"{slo}: Alertmanager gives the all-clear", "resolved", silent, cleared is not None),
    ]
