"""Drives both models at a steady rate, through phases, and remembers what was sent and what came back.

Open loop: requests have due times, and a worker that is free takes the next. When the server falls behind by more than
a second the schedule moves on, so that a fault is not followed by a burst of what was missed. Requests are made in
threads over the standard library: at these rates that costs a few percent of a core.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from . import identifiers, images
from .client import Answer, Client
from .messages import Grammar

MAX_LAG_SECONDS = 1.0


class Phase(Enum):
    """What the traffic is like."""

    NORMAL = "normal"
    KILLS = "kills and a broken version"
    DRIFT = "input drift"
    SCHEMA = "schema fault"
    FAULT = "fault"
    RECOVERY = "recovery"


@dataclass(frozen=True)
class Request:
    """A request to be sent."""

    path: str
    body: dict[str, Any]
    labels: tuple[str, ...]
    planted: tuple[identifiers.Identifier, ...] = ()


@dataclass(frozen=True)
class Sent:
    """A request that was sent, and how it went."""

    stream: str
    phase: Phase
    started: float
    seconds: float
    status: int
    observation: str | None
    request: Request
    answer: dict[str, Any] | None


class Stream(Protocol):
    """Makes the requests of one model."""

    name: str

    def request(self, phase: Phase) -> Request:
        """The next one. Called from several threads, one at a time."""


class RouterStream:
    """Support messages, with the identifiers that the grammar puts into them."""

    name = "support-router"

    def __init__(self, seed: int) -> None:
        self._grammar = Grammar(seed)

    def request(self, phase: Phase) -> Request:
        """A message."""
        message = self._grammar.drifted() if phase is Phase.DRIFT else self._grammar.message()
        return Request("/v1/models/support-router/predict", {"text": message.text}, (message.label,), message.planted)


# What a camera sends that counts its levels from 0 to 255: a schema fault, all of whose requests are answered.
LEVELS_TOO_MANY = 16.0


class DigitsStream:
    """Rows of pixels, several a request."""

    name = "digits"

    def __init__(self, seed: int, rows: int) -> None:
        self._rng = random.Random(seed)
        self._rows = rows
        self._normal = images.load()
        self._drifted = images.drifted(self._normal, seed)

    def request(self, phase: Phase) -> Request:
        """Images, as one tensor of the Open Inference Protocol."""
        pool = self._drifted if phase is Phase.DRIFT else self._normal
        rows, labels = pool.draw(self._rng, self._rows)
        scale = LEVELS_TOO_MANY if phase is Phase.SCHEMA else 1.0
        flat = [pixel * scale for row in rows for pixel in row]
        tensor = {"name": "input", "datatype": "FP32", "shape": [len(rows), 64], "data": flat}
        return Request("/v2/models/digits/infer", {"inputs": [tensor]}, tuple(labels))


class Journal:
    """What was sent. Old entries are forgotten beyond a bound, so that a demo can run for days."""

    def __init__(self, keep: int | None) -> None:
        self._lock = threading.Lock()
        self._sent: deque[Sent] = deque(maxlen=keep)
        self.total = 0
        self.skipped = 0

    def add(self, sent: Sent) -> None:
        """Adds an entry."""
        with self._lock:
            self._sent.append(sent)
            self.total += 1

    def skip(self, count: int) -> None:
        """Counts due requests that were never sent because the server had fallen behind."""
        with self._lock:
            self.skipped += count

    def all(self) -> list[Sent]:
        """The entries, oldest first."""
        with self._lock:
            return list(self._sent)


class Schedule:
    """Due times of one stream, handed out to whoever asks next."""

    def __init__(self, rate: float, journal: Journal) -> None:
        self._lock = threading.Lock()
        self._interval = 1.0 / rate
        self._next = time.monotonic()
        self._journal = journal

    def next_due(self) -> float:
        """When the next request is due."""
        with self._lock:
            missed = int((time.monotonic() - self._next - MAX_LAG_SECONDS) / self._interval)
            if missed > 0:
                self._next += missed * self._interval
                self._journal.skip(missed)
            due = self._next
            self._next += self._interval
            return due


class Driver:
    """Sends the requests of all streams until it is stopped; use it in a `with`."""

    def __init__(self, proxy: str, collector: str, journal: Journal) -> None:
        self.journal = journal
        self.phase = Phase.NORMAL
        self.labels_posted = 0
        self._proxy, self._collector = proxy, collector
        self._stop = threading.Event()
        self._making = threading.Lock()
        self._truths: deque[dict[str, Any]] = deque(maxlen=100_000)
        self._threads: list[threading.Thread] = [threading.Thread(target=self._post_labels, daemon=True)]

    def add(self, stream: Stream, rate: float, workers: int) -> None:
        """Adds a stream of `rate` requests a second."""
        schedule = Schedule(rate, self.journal)
        for _ in range(workers):
            self._threads.append(threading.Thread(target=self._work, args=(stream, schedule), daemon=True))

    def __enter__(self) -> Driver:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Waits for open requests and posts the last labels."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30.0)

    def _work(self, stream: Stream, schedule: Schedule) -> None:
        client = Client(self._proxy)
        while not self._stop.is_set():
            due = schedule.next_due()
            if self._stop.wait(max(due - time.monotonic(), 0.0)):
                break
            with self._making:
                phase = self.phase
                request = stream.request(phase)
            self._send(client, stream.name, phase, request)
        client.close()

    def _send(self, client: Client, stream: str, phase: Phase, request: Request) -> None:
        started = time.time()
        clock = time.monotonic()
        answer = client.post(request.path, request.body)
        seconds = time.monotonic() - clock
        observation = answer.headers.get("driftline-id")
        parsed = answer.json() if answer.ok else None
        self.journal.add(Sent(stream, phase, started, seconds, answer.status, observation, request, parsed))
        if answer.ok and observation:
            for item, label in enumerate(request.labels):
                self._truths.append({"id": observation, "item": item, "label": label})

    def _post_labels(self) -> None:
        """Posts what was true once a second; what the collector does not take now is offered again."""
        client = Client(self._collector)
        while True:
            stopping = self._stop.wait(1.0)
            waiting = [self._truths.popleft() for _ in range(min(len(self._truths), 1000))]
            answer: Answer | None = client.post("/v1/labels", {"labels": waiting}) if waiting else None
            if answer is not None and answer.ok:
                self.labels_posted += len(waiting)
            elif answer is not None:
                self._truths.extendleft(reversed(waiting))
            if stopping:
                client.close()
                return
