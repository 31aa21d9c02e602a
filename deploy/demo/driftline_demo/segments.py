"""Keeps what passes through the collector's log.

Segments are deleted once ClickHouse has their rows; hard links to them are not.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import zstandard

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
POLL_SECONDS = 0.02


class SegmentKeeper:
    """Links every file that appears in a folder into another one on the same file system; use it in a `with`."""

    def __init__(self, watched: Path, kept: Path) -> None:
        self._watched, self._kept = watched, kept
        self._seen: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> SegmentKeeper:
        self._kept.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self._link()

    def _link(self) -> None:
        for path in self._watched.rglob("*"):
            try:
                status = path.stat()
                if not path.is_file() or status.st_ino in self._seen:
                    continue
                os.link(path, self._kept / f"{status.st_ino}-{path.name}")
                self._seen.add(status.st_ino)
            except OSError:
                # deleted between being listed and being linked
                continue

    def files(self) -> list[Path]:
        """What was kept."""
        return sorted(p for p in self._kept.iterdir() if p.is_file())


def contents(path: Path) -> Iterator[bytes]:
    """A file's bytes, and what every zstd frame in it decompresses to."""
    raw = path.read_bytes()
    yield raw
    start = raw.find(ZSTD_MAGIC)
    while start >= 0:
        # an error is a coincidence of four bytes, or the torn end of a killed process
        with contextlib.suppress(zstandard.ZstdError):
            yield zstandard.ZstdDecompressor().decompressobj().decompress(memoryview(raw)[start:])
        start = raw.find(ZSTD_MAGIC, start + 1)
