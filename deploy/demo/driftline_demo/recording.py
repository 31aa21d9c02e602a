"""The performance of the smoke test: the traffic's phases with everything that happens in them, recorded."""

from __future__ import annotations

import signal
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from . import faults, hostile, identifiers, stage
from .client import Answer, Client, fetch
from .monitoring import Episode, Monitoring
from .processes import Driftline
from .traffic import Journal, Phase

HOSTILE, HOSTILE_SEED, SECRET_SEED = 14, 78, 79
NORMAL_SECONDS, KILLS_SECONDS, DRIFT_SECONDS, SCHEMA_SECONDS = 14.0, 14.0, 22.0, 8.0
PULSES_SECONDS, LOST_SECONDS, RECOVERY_SECONDS = 9.0, 7.0, 43.0
# the collector hangs before it is killed, long enough for somebody to be called
HANG_SECONDS, KILL_ENGINE_AT, LOAD_BROKEN_AT = 6.0, 8.0, 10.0
CONTROL_TICKET = "ticket-4711.control@example.com"


@dataclass(frozen=True)
class Look:
    """What the analyzer's API said at one time."""

    at: float
    phase: Phase
    overview: dict[str, Any]

    def drifted(self, model: str) -> set[str]:
        """Features of a model whose verdict is `drifted`."""
        for seen in self.overview.get("models", []):
            if seen["model"] == model:
                return {f["feature"] for f in seen["features"] if f["state"] == "drifted"}
        return set()


@dataclass
class Recording:
    """Everything that the checks look at."""

    journal: Journal
    # beside those in the traffic's messages
    planted: list[identifiers.Identifier] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    began: dict[Phase, float] = field(default_factory=dict)
    restarts: dict[str, float] = field(default_factory=dict)
    hostile_answers: list[Answer] = field(default_factory=list)
    broken: Answer | None = None
    broken_index: dict[str, Any] = field(default_factory=dict)
    lost_refusal: str = ""
    control: Answer | None = None
    control_secret: str = ""
    labels_posted: int = 0
    traffic_seconds: float = 0.0
    rang_early: set[tuple[str, str]] = field(default_factory=set)
    # everything that Prometheus had firing, from the first phase to the last
    episodes: list[Episode] = field(default_factory=list)


class Performance:
    """Plays all phases once."""

    def __init__(self, driftline: Driftline, monitoring: Monitoring, seed: int) -> None:
        self._driftline, self._monitoring = driftline, monitoring
        self._driver = stage.driver(driftline.at, seed, keep=None)
        self.recording = Recording(self._driver.journal)
        self._over = threading.Event()
        self._begun = time.monotonic()

    def play(self) -> Recording:
        """Two minutes."""
        watcher = threading.Thread(target=self._watch, daemon=True)
        self._begun = begun = time.monotonic()
        watcher.start()
        with self._driver:
            self._normal()
            self._kills()
            self._drift()
            self._schema()
            self._fault()
            self._recovery()
        self.recording.traffic_seconds = time.monotonic() - begun
        self.recording.labels_posted = self._driver.labels_posted
        self._over.set()
        watcher.join(30.0)
        self.recording.episodes = self._monitoring.history(self.recording.began[Phase.NORMAL], time.time())
        return self.recording

    def _tell(self, what: str) -> None:
        print(f"smoke: {time.monotonic() - self._begun:5.1f} s  {what}", file=sys.stderr)

    def _enter(self, phase: Phase) -> float:
        now = time.monotonic()
        self._tell(phase.value)
        self._driver.phase = phase
        self.recording.began[phase] = time.time()
        return now

    def _normal(self) -> None:
        sleep_until(self._enter(Phase.NORMAL) + NORMAL_SECONDS)

    def _kills(self) -> None:
        begun = self._enter(Phase.KILLS)
        self._driftline.signal("collect", signal.SIGSTOP)
        sleep_until(begun + HANG_SECONDS)
        self._kill("collect")
        sleep_until(begun + KILL_ENGINE_AT)
        self._kill("engine")
        sleep_until(begun + LOAD_BROKEN_AT)
        self._load_broken()
        self._tell("asked for a broken version")
        sleep_until(begun + KILLS_SECONDS)

    def _kill(self, role: str) -> None:
        self.recording.restarts[role] = self._driftline.kill_and_wait(role)
        self._tell(f"killed {role}; another ran {self.recording.restarts[role]:.1f} s later")

    def _load_broken(self) -> None:
        client = Client(self._driftline.at.proxy, timeout=60.0)
        self.recording.broken = client.post(
            "/v2/repository/models/support-router/load", {"parameters": {"version": "broken"}}
        )
        index = client.post("/v2/repository/index", {})
        client.close()
        lines = index.json() if index.ok else []
        self.recording.broken_index = {(e["name"], e["version"]): e for e in lines}

    def _drift(self) -> None:
        begun = self._enter(Phase.DRIFT)
        unexpected = identifiers.distinct(HOSTILE, HOSTILE_SEED)
        self.recording.planted += unexpected
        self.recording.hostile_answers = hostile.send(self._driftline.at.proxy, unexpected)
        self._tell("sent identifiers where nobody expects them")
        sleep_until(begun + DRIFT_SECONDS)

    def _schema(self) -> None:
        sleep_until(self._enter(Phase.SCHEMA) + SCHEMA_SECONDS)

    def _post_control(self) -> None:
        """One observation of another server: an allowed field with an identifier, and one that is not allowed."""
        secret = identifiers.distinct(1, SECRET_SEED)[0]
        observation = {
            "id": str(uuid.uuid4()),
            "at_ms": int(time.time() * 1000),
            "model": "elsewhere",
            "version": "1",
            "outcome": "ok",
            "payload": {"kept": {"input": {"ticket": CONTROL_TICKET, "text": f"write to {secret.text}"}}},
        }
        client = Client(self._driftline.at.collector)
        self.recording.control = client.post("/v1/observations", observation)
        self.recording.control_secret = secret.text
        self.recording.planted.append(secret)
        client.close()

    def _fault(self) -> None:
        self._enter(Phase.FAULT)
        self.recording.rang_early = {
            (c.name, c.labels.get("slo", "")) for c in self._monitoring.pager.calls("page") if c.labels.get("slo")
        }
        faults.latency_pulses(self._driftline, PULSES_SECONDS)
        with faults.LostModel(self._driftline.at.proxy) as lost:
            self.recording.lost_refusal = lost.refusal
            self._tell("took a model's file away")
            time.sleep(LOST_SECONDS)

    def _recovery(self) -> None:
        begun = self._enter(Phase.RECOVERY)
        self._post_control()
        sleep_until(begun + RECOVERY_SECONDS)

    def _watch(self) -> None:
        """Twice a second: what the API says."""
        while not self._over.wait(0.5):
            overview = fetch(f"{self._driftline.at.analyzer}/api/v1/overview", timeout=5.0)
            if overview.ok:
                self.recording.looks.append(Look(time.time(), self._driver.phase, overview.json()))


def sleep_until(moment: float) -> None:
    """Sleeps until a time of the monotonic clock."""
    time.sleep(max(moment - time.monotonic(), 0.0))
