#!/usr/bin/env python3
"""The demo without a person: two minutes of traffic through its phases, then a table of what was expected and seen.

Run it by `make smoke`. The exit code is 0 only if every row holds. Its data folder, data/smoke, is left for whoever
wants to look closer.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from driftline_demo import faults, paths, processes, report, stage, table
from driftline_demo.checks import alerts, answers, drift, exactness, ks, ledgers, privacy, start, versions
from driftline_demo.clickhouse import Database
from driftline_demo.monitoring import Monitoring
from driftline_demo.recording import Performance, Recording
from driftline_demo.segments import SegmentKeeper
from driftline_demo.table import Row

TRAFFIC_SECONDS_MAX = 120.0
SEED = 2024


def guarded(point: int, check: Callable[[], list[Row]]) -> list[Row]:
    """A check that breaks is a row that does not hold; the others still run."""
    print(f"smoke: point {point}", file=sys.stderr)
    try:
        return check()
    except Exception as error:  # whatever it is, it belongs in the table
        return [Row(point, "the check itself", "runs", f"{type(error).__name__}: {error}", False)]


def checked(
    recording: Recording,
    driftline: processes.Driftline,
    monitoring: Monitoring,
    keeper: SegmentKeeper,
) -> list[Row]:
    """All checks that need everything to be running; what waits for silence comes first."""
    at = driftline.at
    database = Database(at)
    seconds = recording.traffic_seconds
    allowed = f"at most {TRAFFIC_SECONDS_MAX:.0f} s"
    rows = [Row(0, "traffic", allowed, f"{seconds:.0f} s", seconds <= TRAFFIC_SECONDS_MAX)]
    rows += guarded(6, lambda: alerts.rows(recording, monitoring))
    rows += guarded(9, lambda: exactness.rows(recording, monitoring))
    rows += guarded(2, lambda: ledgers.rows(recording, driftline, database))
    rows += guarded(4, lambda: drift.rows(recording, at, database))
    rows += guarded(7, lambda: versions.rows(recording, at))
    rows += guarded(3, lambda: privacy.rows(recording, driftline, database, keeper))
    rows += guarded(1, lambda: answers.rows(recording))
    return rows


def perform(data: Path) -> tuple[list[Row], str]:
    """Starts everything in a fresh data folder, plays the phases, looks; the rows, and the table of alerts."""
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    settings = stage.free_ports() | {"data_dir": str(data)}
    log = data / "log.txt"
    with processes.Driftline(settings, log) as driftline:
        keeper = SegmentKeeper(data / "collector", data / "kept")
        with keeper, Monitoring(driftline.at, data / "monitoring") as monitoring:
            monitoring.settle(targets=3)
            recording = Performance(driftline, monitoring, SEED).play()
            rows = checked(recording, driftline, monitoring, keeper)
            alerted = exactness.markdown(recording, monitoring)
        code = driftline.stop()
    text = log.read_text(encoding="utf-8", errors="replace")
    orderly = code == 0 and "panicked at" not in text
    return [*rows, Row(0, "the end", "in order, no panic", f"exit code {code}", orderly)], alerted


def main() -> int:
    """Runs, prints, judges."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=paths.DATA / "smoke", help="the data folder; it is made anew")
    parser.add_argument("--write", type=Path, help="the page that gets both tables, between its marks")
    arguments = parser.parse_args()
    data = arguments.data.absolute()
    signal.signal(signal.SIGTERM, processes.interrupt)
    stage.check_prepared()
    faults.put_back()
    begun, machine, alerted = time.monotonic(), report.machine(), ""
    rows = guarded(8, lambda: start.rows(data.with_name(data.name + "-first-status")))
    rows += guarded(5, lambda: ks.rows(data.with_name(data.name + "-ks")))
    try:
        performed, alerted = perform(data)
        rows += performed
    except processes.NotReadyError as error:
        rows.append(Row(0, "`driftline up`", "is ready", str(error), False))
    print(table.render(rows))
    if arguments.write and alerted:
        report.write(arguments.write, machine, table.render(rows), alerted)
    print(f"smoke: {time.monotonic() - begun:.0f} s in all", file=sys.stderr)
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
