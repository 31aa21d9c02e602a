"""Point 8: how long `make demo` takes to its first status, on a machine that has done it once."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from driftline_demo import paths
from driftline_demo.table import Row

LIMIT_SECONDS = 60.0


def rows(data: Path) -> list[Row]:
    """Runs it as a person would, with a data folder of its own, and ends it after the first status."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    begun = time.monotonic()
    command = ["make", "--no-print-directory", "demo", f"DEMO_FLAGS=--once --data {data}"]
    ended = subprocess.run(command, cwd=paths.ROOT, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begun
    shown = all(word in ended.stdout for word in ("req/s", "objective", "ledger", "page http"))
    seen = f"{seconds:.0f} s, the orderly stop included"
    if ended.returncode != 0 or not shown:
        seen = f"exit code {ended.returncode}: {(ended.stderr or ended.stdout)[-200:]}"
    holds = ended.returncode == 0 and shown and seconds <= LIMIT_SECONDS
    return [Row(8, "`make demo` to its first status, done before", f"within {LIMIT_SECONDS:.0f} s", seen, holds)]
