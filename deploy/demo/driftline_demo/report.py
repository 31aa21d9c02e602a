"""Writes what a run showed into docs/SMOKE.md, between its marks, with the machine that it ran on."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path


def machine() -> str:
    """A sentence about this machine, its load before the run included: the tables were made under it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    today = datetime.datetime.now(tz=datetime.UTC).date()
    return (
        f"Run of {today} on {os.cpu_count()} cores ({platform.machine()}) with {memory:.0f} GiB, {system}, release "
        f"build; load before it {os.getloadavg()[0]:.1f}."
    )


def write(page: Path, told: str, rows: str, alerts: str) -> None:
    """Puts both tables into the page, in the place of those of the run before."""
    text = page.read_text(encoding="utf-8")
    text = between(text, "smoke-alerts", f"{told}\n\n{alerts}")
    text = between(text, "smoke", f"{told}\n\n```text\n{rows}\n```")
    page.write_text(text, encoding="utf-8")


def between(text: str, name: str, new: str) -> str:
    """The text with something new between the marks of a name."""
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = text.partition(opening)
    _, ended, after = rest.partition(closing)
    if not (found and ended):
        raise ValueError(f"the page has no lines {opening} and {closing}")
    return f"{before}{opening}\n\n{new}\n\n{closing}{after}"
