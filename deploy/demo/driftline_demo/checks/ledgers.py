"""Point 2: both ledgers balance, and ClickHouse holds what was delivered, once, also after kills."""

from __future__ import annotations

import time

from driftline_demo.clickhouse import Database
from driftline_demo.client import fetch
from driftline_demo.exposition import Page
from driftline_demo.processes import Driftline
from driftline_demo.recording import Recording
from driftline_demo.table import Row

SOURCE = "demo-proxy"
DRAIN_SECONDS = 30.0
IN_FLIGHT = "driftline_mirror_in_flight_observations"


def rows(recording: Recording, driftline: Driftline, database: Database) -> list[Row]:
    """Waits for the drain, then counts."""
    page = _drained(driftline.at.proxy)
    return [
        *_kills(recording),
        *_observations(recording, page, database),
        *_payloads(page, database),
        _labels(recording, database),
    ]


def _drained(proxy: str) -> Page:
    """The proxy's metrics once nothing is in flight (or after a while anyway)."""
    end = time.monotonic() + DRAIN_SECONDS
    while True:
        page = Page(fetch(f"{proxy}/metrics").text())
        if page.sum(IN_FLIGHT) == 0 or time.monotonic() > end:
            return page
        time.sleep(0.2)


def _kills(recording: Recording) -> list[Row]:
    names = {"collect": "the collector", "engine": "ClickHouse"}
    return [
        Row(2, f"kill -9 of {names[role]} in the middle of traffic", "started again", f"after {seconds:.1f} s", True)
        for role, seconds in recording.restarts.items()
    ]


def _observations(recording: Recording, page: Page, database: Database) -> list[Row]:
    observed = page.sum("driftline_mirror_observed_observations_total")
    delivered = page.sum("driftline_mirror_delivered_observations_total")
    dropped = page.sum("driftline_mirror_dropped_observations_total")
    flying = page.sum(IN_FLIGHT)
    started = recording.journal.total + len(recording.hostile_answers)
    unanswered = sum(s.status == 0 for s in recording.journal.all())
    in_table = f"SELECT count() FROM observations WHERE source = '{SOURCE}'"
    stored = database.wait_for(in_table, int(delivered), DRAIN_SECONDS)
    unique = database.number(f"SELECT uniqExact(id) FROM observations WHERE source = '{SOURCE}'")
    doubled = database.number(
        "SELECT count() FROM (SELECT id, item, feature FROM features GROUP BY ALL HAVING count() > 1)"
    )
    sent = f"{started} sent, {unanswered} of them without an answer, {observed:.0f} observed"
    # a request whose connection broke may have been started or not
    all_observed = started - unanswered <= observed <= started
    return [
        Row(2, "one observation a started request", "sent = observed", sent, all_observed),
        Row(
            2,
            "ledger of observations",
            "observed = delivered + dropped",
            f"{observed:.0f} = {delivered:.0f} + {dropped:.0f}",
            observed == delivered + dropped and observed > 0,
        ),
        Row(2, "in flight after the drain, counted", "0", f"{flying:.0f}", flying == 0),
        Row(2, "rows in ClickHouse", f"{delivered:.0f} delivered", f"{stored} rows", stored == delivered),
        Row(2, "ids in ClickHouse", "no duplicate", f"{stored - unique} duplicates", stored == unique),
        Row(2, "features in ClickHouse", "no duplicate", f"{doubled} duplicates", doubled == 0),
    ]


def _payloads(page: Page, database: Database) -> list[Row]:
    eligible = page.sum("driftline_mirror_eligible_payloads_total")
    by_state = page.by("driftline_mirror_payloads_total", "state")
    total = sum(by_state.values())
    states = " + ".join(f"{count:.0f} {state}" for state, count in sorted(by_state.items()))
    kept = by_state.get("stored", 0.0)
    of_proxy = f"SELECT count() FROM payloads WHERE id IN (SELECT id FROM observations WHERE source = '{SOURCE}')"
    in_table = database.wait_for(of_proxy, int(kept), DRAIN_SECONDS)
    return [
        Row(
            2,
            "ledger of payloads",
            "eligible = stored + sampled out + withheld",
            f"{eligible:.0f} = {states}",
            eligible == total and eligible > 0,
        ),
        Row(2, "payloads in ClickHouse", f"{kept:.0f} stored", f"{in_table} rows", in_table == kept),
    ]


def _labels(recording: Recording, database: Database) -> Row:
    posted = recording.labels_posted
    stored = database.wait_for("SELECT uniqExact(id, item) FROM labels", posted, DRAIN_SECONDS)
    joined = database.number("SELECT uniqExact(id, item) FROM labels WHERE id IN (SELECT id FROM observations)")
    seen = f"{stored} in ClickHouse, {joined} joined"
    return Row(2, "labels", f"all {posted} posted", seen, stored == posted == joined and posted > 0)
