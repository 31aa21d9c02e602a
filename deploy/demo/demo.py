#!/usr/bin/env python3
"""The demo: everything on this machine under live traffic that goes through its phases, until Ctrl-C.

Run it by `make demo`. It starts `driftline up` with deploy/demo/driftline.toml, drives both models, and shows a live
status: drawn over itself on a terminal, plain lines otherwise. It leaves nothing behind but its data folder, data/demo.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from driftline_demo import faults, paths, processes, stage
from driftline_demo.status import Status
from driftline_demo.traffic import Driver, Phase

PHASES = (
    (Phase.NORMAL, 75.0),
    (Phase.DRIFT, 60.0),
    (Phase.SCHEMA, 20.0),
    (Phase.FAULT, 30.0),
    (Phase.RECOVERY, 60.0),
)
REFRESH_TTY, REFRESH_PLAIN = 1.0, 10.0
FIRST_STATUS_AFTER = 3.0


class Director:
    """Leads the traffic through its phases in a thread, faults included."""

    def __init__(self, driftline: processes.Driftline, driver: Driver) -> None:
        self._driftline, self._driver = driftline, driver
        self._stop = threading.Event()
        self._until = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Director:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30.0)

    def told(self) -> str:
        """The phase and how long it lasts."""
        left = max(self._until - time.monotonic(), 0.0)
        return f"phase: {self._driver.phase.value} (another {left:.0f} s)"

    def _run(self) -> None:
        for phase, seconds in self._phases():
            self._until = time.monotonic() + seconds
            self._driver.phase = phase
            if phase is Phase.FAULT:
                self._fault(seconds)
            elif self._stop.wait(seconds):
                return

    def _phases(self) -> Iterator[tuple[Phase, float]]:
        for phase, seconds in cycle(PHASES):
            if self._stop.is_set():
                return
            yield phase, seconds

    def _fault(self, seconds: float) -> None:
        """First slow, then failing."""
        faults.latency_pulses(self._driftline, seconds / 2, self._stop)
        with faults.LostModel(self._driftline.at.proxy):
            self._stop.wait(seconds / 2)


def show(lines: list[str]) -> None:
    """Draws over what was drawn before on a terminal; adds lines elsewhere."""
    if sys.stdout.isatty():
        print("\x1b[H\x1b[J" + "\n".join(lines), flush=True)
    else:
        print("\n".join(lines) + "\n", flush=True)


def watch(at: processes.Whereabouts, director: Director, begun: float, *, once: bool) -> None:
    """Shows the status until somebody interrupts."""
    status = Status(at)
    status.update()
    time.sleep(FIRST_STATUS_AFTER)
    interval = REFRESH_TTY if sys.stdout.isatty() else REFRESH_PLAIN
    while True:
        status.update()
        minutes, seconds = divmod(int(time.monotonic() - begun), 60)
        show(status.lines(f"Driftline demo  {minutes:02}:{seconds:02}  {director.told()}  Ctrl-C ends it"))
        if once:
            return
        time.sleep(interval)


def main() -> int:
    """Runs until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="end after the first status")
    parser.add_argument("--data", default=str(paths.DATA / "demo"), help="the data folder")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, processes.interrupt)
    stage.check_prepared()
    faults.put_back()
    data = Path(arguments.data).absolute()
    log = data / "log.txt"
    print(f"starting; the log is {log}", file=sys.stderr)
    try:
        with processes.Driftline(stage.known_ports() | {"data_dir": str(data)}, log) as driftline:
            print(f"everything runs; the page is {driftline.at.analyzer}/", file=sys.stderr)
            driver = stage.driver(driftline.at, seed=int(time.time()), keep=1_000)
            begun = time.monotonic()
            with driver, Director(driftline, driver) as director:
                watch(driftline.at, director, begun, once=arguments.once)
    except KeyboardInterrupt:
        print(f"\nstopped; the data is in {data}", file=sys.stderr)
    except processes.NotReadyError as error:
        sys.exit(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
