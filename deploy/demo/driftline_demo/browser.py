"""What the page shows, after its scripts have run: the document of a headless Chromium."""

from __future__ import annotations

import subprocess
import tempfile
from html.parser import HTMLParser

SECONDS = 60.0
# The page asks the API once when it is loaded; so much of the browser's own time is enough to draw the answer.
VIRTUAL_MILLISECONDS = 3_000


def document(url: str) -> str:
    """The page's document as HTML."""
    with tempfile.TemporaryDirectory(prefix="driftline-browser-") as profile:
        command = [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            f"--user-data-dir={profile}",
            f"--virtual-time-budget={VIRTUAL_MILLISECONDS}",
            "--dump-dom",
            url,
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS).stdout


class States(HTMLParser):
    """Reads the verdicts off the page: by model and feature, the states that it shows."""

    def __init__(self, html: str, words: set[str]) -> None:
        super().__init__()
        self._words = words
        self._model = ""
        self._feature = ""
        self.shown: dict[tuple[str, str], set[str]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A model's card, a feature's row or cell, or what stands in a cell."""
        given = {name: value or "" for name, value in attrs}
        key, classes = given.get("data-key", ""), set(given.get("class", "").split())
        if tag == "article":
            self._model = given.get("id", "").removeprefix("model-")
        if tag == "tr" and key.startswith("row-"):
            self._note(key.removeprefix("row-"), classes)
        elif tag == "li":
            self._feature = key.removeprefix("cell-") if key.startswith("cell-") else ""
        elif tag == "a" and "cell" in classes and self._feature:
            self._note(self._feature, classes)

    def _note(self, feature: str, classes: set[str]) -> None:
        self.shown.setdefault((self._model, feature), set()).update(classes & self._words)
