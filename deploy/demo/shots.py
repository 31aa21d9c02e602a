#!/usr/bin/env python3
"""Renews the screenshots of docs/page.md from a demo of two minutes: normal traffic, then a drift, then every view.

Run it by `make screenshots`. It leaves the pictures in docs/page/ and its data in data/shots.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time

from driftline_demo import faults, paths, processes, stage
from driftline_demo.traffic import Phase

NORMAL_SECONDS, DRIFT_SECONDS = 60.0, 40.0
SEED = 2024
SCRIPT = paths.ROOT / "dashboards" / "page" / "tests" / "shots.mjs"
FOLDER = paths.ROOT / "docs" / "page"


def main() -> int:
    """Starts, waits, looks."""
    stage.check_prepared()
    faults.put_back()
    data = paths.DATA / "shots"
    shutil.rmtree(data, ignore_errors=True)
    settings = stage.free_ports() | {"data_dir": str(data)}
    with processes.Driftline(settings, data / "log.txt") as driftline, stage.driver(driftline.at, SEED, keep=1) as driver:
        print("shots: normal traffic", file=sys.stderr)
        time.sleep(NORMAL_SECONDS)
        print("shots: drift", file=sys.stderr)
        driver.phase = Phase.DRIFT
        time.sleep(DRIFT_SECONDS)
        subprocess.run(["node", str(SCRIPT), driftline.at.analyzer, str(FOLDER)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
