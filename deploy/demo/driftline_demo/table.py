"""The table of what was expected and what was seen."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

WIDTHS = (2, 42, 30, 46)


@dataclass(frozen=True)
class Row:
    """One line: which point of the list, what is looked at, what it must be, what it is."""

    point: int
    what: str
    expected: str
    seen: str
    holds: bool


def render(rows: list[Row]) -> str:
    """The table as text; long cells are wrapped."""
    lines = [_line("#", "what", "expected", "seen", "holds"), "-" * (sum(WIDTHS) + 16)]
    for row in sorted(rows, key=lambda r: r.point):
        cells = [
            textwrap.wrap(text, width) or [""]
            for text, width in zip((str(row.point), row.what, row.expected, row.seen), WIDTHS, strict=True)
        ]
        for i in range(max(map(len, cells))):
            parts = [cell[i] if i < len(cell) else "" for cell in cells]
            lines.append(_line(*parts, ("yes" if row.holds else "NO") if i == 0 else ""))
    failed = sum(not r.holds for r in rows)
    lines.append("")
    lines.append(f"{len(rows)} rows, all hold" if not failed else f"{failed} of {len(rows)} rows do not hold")
    return "\n".join(lines)


def _line(point: str, what: str, expected: str, seen: str, holds: str) -> str:
    columns = zip((point, what, expected, seen), WIDTHS, strict=True)
    return "  ".join(f"{text:{width}}" for text, width in columns) + f"  {holds}"
