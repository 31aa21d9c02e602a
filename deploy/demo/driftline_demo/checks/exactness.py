"""Point 9: each phase fires the alerts that it causes, in Prometheus and in Alertmanager, and a normal one none.

An alert belongs to the phase that causes it. It may fire later than that began, since evidence takes its time, but
never before, and an alert that no phase causes must not fire at all. What fired is read from Prometheus' own history
after the run, so nothing is missed between two looks. What may fire and need not is listed with its reason: mostly a
matter of how much processor time the machine had to give.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from driftline_demo.monitoring import Episode, Monitoring
from driftline_demo.recording import Recording
from driftline_demo.table import Row
from driftline_demo.traffic import Phase, Sent


@dataclass(frozen=True)
class Effects:
    """What a phase does, and which alerts that must and may cause, each with its reason."""

    happens: str
    must: dict[str, str] = field(default_factory=dict)
    may: dict[str, str] = field(default_factory=dict)


EFFECTS: dict[Phase, Effects] = {
    Phase.NORMAL: Effects(
        "nothing",
        may={
            "ShadowVerdictReady digits 2": "enough pairs are compared: a notice, and no fault",
            "ShadowVerdictReady support-router 2": "enough pairs are compared: a notice, and no fault",
        },
    ),
    Phase.KILLS: Effects(
        "the collector hangs for six seconds and is killed, ClickHouse is killed, a broken version is asked for",
        must={
            "InstanceDown driftline-collector": "two scrapes in a row without an answer",
            "ModelLoadFailed support-router broken golden": "its golden samples fail",
            "ConversionCheckFailed support-router broken": "its golden samples fail",
        },
        may={
            "ClickHouseInsertsFailing": "inserts fail until the engine is back; it alerts when that takes some seconds",
        },
    ),
    Phase.DRIFT: Effects(
        "messages in another language; digits rotated, noisy, darkened",
        must={
            "FeatureDrift support-router 1": "characters and words that its reference does not have",
            "FeatureDrift digits 1": "pixels that moved",
            "CalibrationOff digits": "half of the answers to what drifted are wrong, and it is sure of eight of ten",
            "ConceptDrift digits both": "half of the answers are wrong: errors moved together with inputs",
            "ConceptDrift support-router both": "six of ten are wrong, and inputs moved",
        },
        may={
            "CalibrationOff support-router": "six of ten are wrong, and it is sure of six; labels are counted once a "
            "minute, and by then good answers may have outweighed it",
        },
    ),
    Phase.SCHEMA: Effects(
        "digits with pixels up to 256, where their folder declares 16",
        must={"SchemaViolations digits out_of_range": "every pixel that is not black"},
    ),
    Phase.FAULT: Effects(
        "the proxy is stopped for nine tenths of each half second; then a model's file is gone and it is unloaded",
        must={
            "SloBurnPage router-latency": "most messages take longer than 400 ms",
            "SloBurnTicket router-latency": "what pages burns fast enough for a ticket",
            "SloBurnPage digits-availability": "digits are answered 503",
            "SloBurnTicket digits-availability": "what pages burns fast enough for a ticket",
            "ModelUnavailable digits": "nobody serves it",
            "SustainedErrors digits": "the same, as its callers see it",
            "ModelLoadFailed digits 1 files": "the file is gone when it is asked to load",
            "ConversionCheckFailed digits 1": "its manifest names a file that is not there",
        },
        may={
            "SloBurnPage digits-latency": "the stops hold digits too; how many are read before a stop is chance",
            "SloBurnTicket digits-latency": "the stops hold digits too; how many are read before a stop is chance",
            "SloBurnTicket router-availability": "a stop that is longer than a request may take ends in a timeout",
            "InstanceDown driftline-proxy": "a stopped process misses scrapes",
            "SloSeriesMissing router-availability": "a stopped process misses scrapes",
            "SloSeriesMissing router-latency": "a stopped process misses scrapes",
            "SloSeriesMissing digits-availability": "a stopped process misses scrapes",
            "SloSeriesMissing digits-latency": "a stopped process misses scrapes",
            "QueueRejections support-router": "what waited through a stop comes at once",
            "QueueRejections digits": "what waited through a stop comes at once",
        },
    ),
}
# What Alertmanager need not tell, because it tells the cause.
QUIETED = {
    "SloBurnTicket router-latency": "SloBurnPage router-latency",
    "SloBurnTicket digits-availability": "SloBurnPage digits-availability",
    "SloBurnTicket digits-latency": "SloBurnPage digits-latency",
    "SustainedErrors digits": "ModelUnavailable digits",
}
CALLED_WITHIN_SECONDS = 20.0
# Objectives that a machine misses by itself when it is too slow: the stream, what counts as slow, and the share that
# the objective allows, as deploy/demo/slo.yaml says.
PROMISED = {"router-latency": ("support-router", 0.4), "digits-latency": ("digits", 0.1)}
ALLOWED_SHARE, SLOW_MIN = 0.005, 3


def about(labels: dict[str, str]) -> str:
    """An alert and whom or what it is about: an objective; a model, its version and the reason; a job.

    Of concept drift the state too: errors of inputs that moved, and of inputs that did not, have other causes.
    """
    keys = ("model", "state") if labels["alertname"] == "DriftlineConceptDrift" else ("model", "version", "reason")
    of_model = " ".join(filter(None, (labels.get(key) for key in keys)))
    subject = labels.get("slo") or of_model or labels.get("job", "")
    return f"{labels['alertname'].removeprefix('Driftline')} {subject}".strip()


def known(alert: str) -> set[Phase]:
    """The phase that causes an alert, if one does."""
    return {phase for phase, effects in EFFECTS.items() if alert in effects.must or alert in effects.may}


@dataclass(frozen=True)
class Judged:
    """Every alert that fired, by the phase at whose door it is laid, with the seconds after that began."""

    fired: dict[Phase, dict[str, float]]
    strange: dict[Phase, set[str]]
    slow: dict[Phase, dict[str, str]]

    @staticmethod
    def of(recording: Recording) -> Judged:
        """An episode belongs to the phase that causes it, if it lasts into it or comes later.

        One that began before its cause is strange where it began, but for tickets for latency that was missed by then,
        by what the clients measured.
        """
        began = recording.began
        judged = Judged({p: {} for p in began}, {p: set() for p in began}, {p: {} for p in began})
        for episode in sorted(recording.episodes, key=lambda e: e.began):
            alert = about(episode.labels)
            cause = next((p for p in known(alert) if began[p] <= episode.ended), None)
            if cause is not None:
                judged.fired[cause].setdefault(alert, max(episode.began - began[cause], 0.0))
            if cause is not None and began[cause] <= episode.began:
                continue
            now = max((p for p in began if began[p] <= episode.began), key=began.__getitem__, default=Phase.NORMAL)
            reason = missed(recording.journal.all(), alert, episode.began)
            if reason:
                judged.slow[now][alert] = reason
            else:
                judged.strange[now].add(alert)
        return judged


def missed(sent: list[Sent], alert: str, until: float) -> str:
    """Why a ticket for latency is right where no phase caused it: as many were slow as its callers saw. Else nothing.

    In the demo's time both windows of a ticket reach back to the beginning, so that is where the counting begins. A
    page is never excused.
    """
    name, _, slo = alert.partition(" ")
    if name != "SloBurnTicket" or slo not in PROMISED:
        return ""
    stream, seconds = PROMISED[slo]
    mine = [one for one in sent if one.stream == stream and one.started < until]
    slow = sum(one.seconds > seconds for one in mine)
    if slow < SLOW_MIN or slow <= ALLOWED_SHARE * len(mine):
        return ""
    return f"{slow} of {len(mine)} requests took longer than {seconds * 1e3:.0f} ms: the machine is too slow for it"


def rows(recording: Recording, monitoring: Monitoring) -> list[Row]:
    """A row a phase: what it must fire, and what fired; then what Alertmanager told of it."""
    judged = Judged.of(recording)
    found = [phase_row(phase, judged) for phase in recording.began]
    return [*found, *_told(recording, judged, monitoring)]


def phase_row(phase: Phase, judged: Judged) -> Row:
    """What a phase must fire, and what fired of it and beside it."""
    effects, fired, strange = EFFECTS.get(phase, Effects("nothing")), judged.fired[phase], judged.strange[phase]
    missing = effects.must.keys() - fired.keys()
    parts = [_names(fired.keys() & effects.must.keys()) or "none"]
    allowed = fired.keys() & effects.may.keys() | judged.slow[phase].keys()
    others = (("as it may", allowed), ("that nothing causes", strange), ("missing", missing))
    parts += [f"{word}: {_names(which)}" for word, which in others if which]
    expected = _names(effects.must) or "none"
    return Row(9, f"alerts of the phase '{phase.value}'", expected, "; ".join(parts), not missing and not strange)


def _names(alerts: set[str] | dict[str, str]) -> str:
    return ", ".join(sorted(alerts))


def _told(recording: Recording, judged: Judged, monitoring: Monitoring) -> list[Row]:
    """Alertmanager tells all that must fire, but for what it keeps quiet, and nothing that Prometheus did not fire."""
    must = {alert for phase in recording.began for alert in EFFECTS.get(phase, Effects("nothing")).must}
    awaited = must - QUIETED.keys()
    monitoring.pager.wait_for(lambda calls: awaited <= {about(c.labels) for c in calls}, CALLED_WITHIN_SECONDS)
    called = {about(call.labels) for call in monitoring.pager.calls() if call.status == "firing"}
    everything = {about(episode.labels) for episode in recording.episodes}
    silent, invented = awaited - called, called - everything
    return [
        Row(9, "Alertmanager tells of each", f"all {len(awaited)}", f"missing: {_names(silent) or 'none'}", not silent),
        Row(9, "Alertmanager tells of nothing else", "none", _names(invented) or "none", not invented),
    ]


def markdown(recording: Recording, monitoring: Monitoring) -> str:
    """The table of alerts for docs/SMOKE.md: a line an alert that must fire, that may, and that did."""
    judged = Judged.of(recording)
    called = {about(call.labels) for call in monitoring.pager.calls() if call.status == "firing"}
    lines = ["| phase | alert | expected | Prometheus | Alertmanager | why |", "|---|---|---|---|---|---|"]
    for phase in recording.began:
        effects = EFFECTS.get(phase, Effects("traffic as before"))
        lines.append(f"| **{phase.value}** | | | | | {effects.happens} |")
        for expected, alerts in (("must", effects.must), ("may", effects.may)):
            fired = judged.fired[phase]
            lines += [_line(alert, expected, fired.get(alert), called, why) for alert, why in alerts.items()]
        lines += [f"| | `{alert}` | may | fired | | {why} |" for alert, why in judged.slow[phase].items()]
        lines += [f"| | `{alert}` | **must not** | fired | | |" for alert in sorted(judged.strange[phase])]
    return "\n".join(lines)


def _line(alert: str, expected: str, after: float | None, called: set[str], why: str) -> str:
    fired = ("**no**" if expected == "must" else "no") if after is None else f"after {after:.0f} s"
    told = "told" if alert in called else f"quiet: {QUIETED[alert]}" if after is not None and alert in QUIETED else ""
    return f"| | `{alert}` | {expected} | {fired} | {told} | {why} |"
