"""What the page shows, after its scripts have run: a headless Chromium goes through its views as a person would."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

from driftline_demo import paths

SECONDS = 180.0
LOOK = paths.ROOT / "dashboards" / "page" / "tests" / "look.mjs"


@dataclass(frozen=True)
class Shown:
    """The verdicts that the page shows, by model and feature, and the documents of its views as HTML."""

    states: dict[tuple[str, str], set[str]]
    documents: list[str]

    @staticmethod
    def parse(told: str) -> Shown:
        """Reads what look.mjs tells."""
        told_of = json.loads(told)
        states: dict[tuple[str, str], set[str]] = {}
        for model, feature, state in told_of["states"]:
            states.setdefault((model, feature), set()).add(state)
        return Shown(states, told_of["documents"])


def look(url: str) -> Shown:
    """Goes through the page at a URL."""
    done = subprocess.run(["node", str(LOOK), url], check=True, capture_output=True, text=True, timeout=SECONDS)
    return Shown.parse(done.stdout)
