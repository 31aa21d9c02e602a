"""Point 3: no planted identifier is found anywhere behind the proxy; an allowed one is found where it must be."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from driftline_demo import browser, segments
from driftline_demo.clickhouse import Database
from driftline_demo.client import fetch
from driftline_demo.exposition import Page
from driftline_demo.identifiers import MAKERS, Identifier
from driftline_demo.processes import Driftline
from driftline_demo.recording import CONTROL_TICKET, Recording
from driftline_demo.segments import SegmentKeeper
from driftline_demo.table import Row

PLANTED_LEAST = 1_000
MASKED_MARK = b"[EMAIL]"
SEGMENTS = "the log's segments, decompressed"


@dataclass(frozen=True)
class Place:
    """Somewhere to look: its contents lie in a file."""

    name: str
    file: Path

    @property
    def size(self) -> int:
        """Bytes looked at."""
        return self.file.stat().st_size

    def holds(self, needle: bytes) -> bool:
        """Whether it is found there."""
        return bool(self.found({needle}))

    def found(self, needles: set[bytes]) -> list[str]:
        """Those that are found there. By grep: thousands of needles in hundreds of megabytes."""
        command = ["grep", "--text", "--only-matching", "--fixed-strings", "--file=-", str(self.file)]
        environment = os.environ | {"LC_ALL": "C"}
        told = subprocess.run(command, input=b"\n".join(needles), capture_output=True, env=environment, check=False)
        if told.returncode > 1:
            raise RuntimeError(told.stderr.decode(errors="replace"))
        return sorted({line.decode(errors="replace") for line in told.stdout.splitlines()})


class Places:
    """Collects what there is to look at, a file a place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.all: list[Place] = []

    def add(self, name: str, contents: Iterable[bytes]) -> None:
        """Adds a place; one without contents is none."""
        file = self._folder / f"{len(self.all)}"
        with file.open("wb") as out:
            for content in contents:
                out.write(content + b"\n")
        if file.stat().st_size > 1:
            self.all.append(Place(name, file))


def rows(recording: Recording, driftline: Driftline, database: Database, keeper: SegmentKeeper) -> list[Row]:
    """Looks everywhere."""
    with tempfile.TemporaryDirectory(dir=driftline.log.parent) as folder:
        places = _places(Path(folder), driftline, database, keeper)
        planted = _all_planted(recording)
        needles = {form for identifier in planted for form in _forms(identifier.text)}
        found = [_enough(planted)]
        found += [_nothing_in(place, needles) for place in places]
        return [*found, *_control(recording, places), _second_pass(driftline)]


def _nothing_in(place: Place, needles: set[bytes]) -> Row:
    hits = place.found(needles)
    seen = f"{len(hits)} in {place.size / 1e6:.1f} MB" + (f", such as {hits[0]!r}" if hits else "")
    return Row(3, f"planted identifiers in {place.name}", "0", seen, not hits)


def _all_planted(recording: Recording) -> set[Identifier]:
    """Those that the grammar put into messages, and those that were sent where nobody expects them."""
    return set(recording.planted) | {p for s in recording.journal.all() for p in s.request.planted}


def _enough(planted: set[Identifier]) -> Row:
    kinds = Counter(identifier.entity for identifier in planted)
    told = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    holds = len(planted) >= PLANTED_LEAST and set(kinds) == set(MAKERS)
    return Row(3, "identifiers planted", f"{PLANTED_LEAST} or more, of every kind", f"{len(planted)}: {told}", holds)


def _forms(text: str) -> set[bytes]:
    """As written, and without the separators where that is still unmistakable."""
    compact = text.translate(str.maketrans("", "", " -()"))
    return {text.encode()} | ({compact.encode()} if len(compact) > 10 else set())


def _places(folder: Path, driftline: Driftline, database: Database, keeper: SegmentKeeper) -> list[Place]:
    at = driftline.at
    places = Places(folder)
    places.add(SEGMENTS, (content for file in keeper.files() for content in segments.contents(file)))
    for table in database.tables():
        places.add(f"table {table}", [database.query(f"SELECT * FROM `{table}` FORMAT JSONEachRow").encode()])
    places.add("/metrics of all", (fetch(f"{base}/metrics").body for base in (at.proxy, at.collector, at.analyzer)))
    places.add("the logs", [driftline.log.read_bytes()])
    places.add("the page and the API", _shown(at.analyzer))
    places.add("other files", (path.read_bytes() for path in _other_files(driftline, folder)))
    return places.all


def _shown(analyzer: str) -> Iterator[bytes]:
    for document in browser.look(analyzer).documents:
        yield document.encode()
    yield fetch(f"{analyzer}/api/v1/samples?limit=200").body
    overview = fetch(f"{analyzer}/api/v1/overview")
    yield overview.body
    yield fetch(f"{analyzer}/api/v1/baselines").body
    for model in overview.json()["models"]:
        name = model["model"]
        yield fetch(f"{analyzer}/api/v1/verdicts?model={name}&limit=1000").body
        for feature in model["features"]:
            yield fetch(f"{analyzer}/api/v1/models/{name}/features/{feature['feature']}").body


def _other_files(driftline: Driftline, folder: Path) -> Iterator[Path]:
    """What lies in the data folder and is not ClickHouse's own (its tables were read above)."""
    data = driftline.log.parent
    for path in data.rglob("*"):
        inside = path.relative_to(data).parts
        if path.is_file() and not {"clickhouse", "monitoring", "kept", folder.name} & set(inside):
            yield path


def _control(recording: Recording, places: list[Place]) -> list[Row]:
    accepted = recording.control is not None and recording.control.ok
    control, secret = CONTROL_TICKET.encode(), recording.control_secret.encode()
    found = []
    for place in places:
        if place.name in (SEGMENTS, "table payloads"):
            seen = "found" if place.holds(control) else "not found"
            found.append(Row(3, f"the allowed identifier in {place.name}", "found", seen, place.holds(control)))
            holds = accepted and not place.holds(secret)
            found.append(Row(3, f"its neighbour that is not allowed, in {place.name}", "masked", str(holds), holds))
            mark = place.holds(MASKED_MARK)
            found.append(Row(3, f"masked texts in {place.name}", "found", "found" if mark else "not found", mark))
    return found


def _second_pass(driftline: Driftline) -> Row:
    page = Page(fetch(f"{driftline.at.collector}/metrics").text())
    by_source = page.by("driftline_collector_second_pass_hits_total", "source")
    of_proxy = by_source.get("proxy", 0.0)
    seen = f"{of_proxy:.0f} ({by_source})"
    return Row(3, "second masking pass over the proxy's records", "finds 0", seen, of_proxy == 0)
