"""Reads Prometheus' text format: sums over series, and quantiles of histograms between two readings."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_SERIES = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Series:
    """One line of the format."""

    name: str
    labels: dict[str, str]
    value: float


class Page:
    """All series of one reading."""

    def __init__(self, text: str) -> None:
        self._by_name: dict[str, list[Series]] = {}
        for line in text.splitlines():
            if line.startswith("#") or not (found := _SERIES.match(line)):
                continue
            name, labels, value = found.groups()
            series = Series(name, dict(_LABEL.findall(labels or "")), float(value))
            self._by_name.setdefault(name, []).append(series)

    def series(self, name: str, **labels: str) -> list[Series]:
        """The series of a family that carry these labels."""
        wanted = labels.items()
        return [s for s in self._by_name.get(name, []) if wanted <= s.labels.items()]

    def sum(self, name: str, **labels: str) -> float:
        """Their sum; 0 where there is none."""
        return sum(s.value for s in self.series(name, **labels))

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Their sums by the values of one label."""
        sums: dict[str, float] = {}
        for series in self.series(name, **labels):
            key = series.labels.get(label, "")
            sums[key] = sums.get(key, 0.0) + series.value
        return sums


def quantile(q: float, name: str, newer: Page, older: Page, **labels: str) -> float | None:
    """A quantile of what a histogram counted between two readings, linear inside a bucket; None without counts."""
    before = older.by(f"{name}_bucket", "le", **labels)
    after = newer.by(f"{name}_bucket", "le", **labels)
    counts = sorted((float(le), count - before.get(le, 0.0)) for le, count in after.items())
    if not counts or counts[-1][1] <= 0:
        return None
    rank, lower, below = q * counts[-1][1], 0.0, 0.0
    for upper, count in counts:
        if count >= rank:
            if math.isinf(upper):
                return lower
            return lower + (upper - lower) * (rank - below) / max(count - below, 1e-12)
        lower, below = upper, count
    return lower
