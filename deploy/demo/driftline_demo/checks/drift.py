"""Point 4: no drift verdict in normal traffic, the right ones soon after a drift, the same ones everywhere."""

from __future__ import annotations

import time
from typing import Any

from driftline_demo import browser
from driftline_demo.clickhouse import Database
from driftline_demo.client import fetch
from driftline_demo.exposition import Page
from driftline_demo.processes import Whereabouts
from driftline_demo.recording import Recording
from driftline_demo.status import MODELS
from driftline_demo.table import Row
from driftline_demo.traffic import Phase

NAMED_WITHIN_SECONDS = 60.0
# What must be among the drifted features: the language changed; pixels moved.
EXPECTED = {"support-router": "text.non_ascii_rate", "digits": "input.px_"}


def rows(recording: Recording, at: Whereabouts, database: Database) -> list[Row]:
    """Normal, drift, agreement."""
    return [*_normal(recording, database), *_named(recording), _agreement(at)]


def _normal(recording: Recording, database: Database) -> list[Row]:
    drift_began = int(recording.began[Phase.DRIFT] * 1000)
    found = []
    for model in MODELS:
        before = f"FROM verdicts FINAL WHERE model = '{model}' AND toUnixTimestamp64Milli(window_end) <= {drift_began}"
        judged = database.number(f"SELECT count() {before} AND state NOT IN ('insufficient')")
        drifted = database.query(f"SELECT groupUniqArray(feature) {before} AND state = 'drifted'")
        holds = judged > 0 and drifted == "[]"
        seen = f"{judged} verdicts, drifted: {drifted}"
        found.append(Row(4, f"{model} in the normal phase", "judged, none drifted", seen, holds))
    return found


def _named(recording: Recording) -> list[Row]:
    began = recording.began[Phase.DRIFT]
    found = []
    for model, expected in EXPECTED.items():
        seconds, named = None, set()
        for look in recording.looks:
            hits = {f for f in look.drifted(model) if f.startswith(expected)}
            if look.at >= began and hits:
                seconds, named = look.at - began, look.drifted(model)
                break
        seen = "never" if seconds is None else f"{len(named)} after {seconds:.0f} s: {', '.join(sorted(named)[:4])} …"
        holds = seconds is not None and seconds <= NAMED_WITHIN_SECONDS
        found.append(Row(4, f"drift of {model} named", f"{expected}… within {NAMED_WITHIN_SECONDS:.0f} s", seen, holds))
    return found


def _agreement(at: Whereabouts) -> Row:
    """Compares the three while no window closes in between; the traffic has ended, so that comes soon."""
    differences: list[str] = ["never at rest"]
    states: dict[tuple[str, str], str] = {}
    for _ in range(20):
        before = fetch(f"{at.analyzer}/api/v1/overview").json()
        shown, metrics = browser.look(at.analyzer), Page(fetch(f"{at.analyzer}/metrics").text())
        states = _states(fetch(f"{at.analyzer}/api/v1/overview").json())
        if _states(before) == states:
            differences = _differences(states, metrics, shown)
            if not differences:
                break
        time.sleep(1.0)
    seen = f"{len(states)} states, {len(differences)} differences" + (f": {differences[0]}" if differences else "")
    return Row(4, "the page (in Chromium), the API and /metrics", "agree", seen, not differences and bool(states))


def _states(overview: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(m["model"], f["feature"]): f["state"] for m in overview["models"] for f in m["features"]}


def _differences(of_api: dict[tuple[str, str], str], metrics: Page, shown: browser.Shown) -> list[str]:
    series = metrics.series("driftline_drift_state")
    of_metrics = {(s.labels["model"], s.labels["feature"]): {s.labels["state"]} for s in series if s.value == 1}
    return [
        f"{model} {feature}: the API says {of_api.get((model, feature))}, {where} says {told.get((model, feature))}"
        for where, told in (("/metrics", of_metrics), ("the page", shown.states))
        for model, feature in sorted(of_api.keys() | told.keys())
        if {of_api.get((model, feature))} != told.get((model, feature))
    ]
