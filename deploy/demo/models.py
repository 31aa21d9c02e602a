#!/usr/bin/env python3
"""Builds the demo's models into models/: real weights, real data, the same bytes every time on one machine.

A stamp holds a hash over these scripts and the versions of the packages they use; while it matches, there is nothing to
do. Run it with the Python that `make deps` made: .deps/venv/bin/python deploy/demo/models.py
"""

from __future__ import annotations

import hashlib
import sys
import time

from driftline_demo import paths

SOURCES = ("bert_graph.py", "digits.py", "folder.py", "identifiers.py", "messages.py", "router.py")
STAMP = paths.MODELS / ".built-from"


def fingerprint() -> str:
    """A hash over everything that the models are made from."""
    digest = hashlib.sha256()
    files = [paths.DEMO / "driftline_demo" / name for name in SOURCES]
    for file in [*files, paths.ROOT / "deploy/setup/python.txt", paths.ROOT / "deploy/setup/python-no-deps.txt"]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def main() -> int:
    """Builds what is not up to date."""
    if STAMP.exists() and STAMP.read_text().strip() == fingerprint():
        print("models: up to date", file=sys.stderr)
        return 0
    # imported here, so that a build with nothing to do does not wait for scikit-learn
    from driftline_demo import digits, router

    paths.MODELS.mkdir(exist_ok=True)
    STAMP.unlink(missing_ok=True)
    for model in (digits, router):
        started = time.monotonic()
        print(f"models: building {model.NAME}", file=sys.stderr)
        told = model.build(paths.MODELS / model.NAME)
        print(f"models: {model.NAME} in {time.monotonic() - started:.0f} s: {told}", file=sys.stderr)
    STAMP.write_text(fingerprint() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
