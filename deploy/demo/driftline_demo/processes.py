"""Starts `driftline up`, knows where it listens, finds its roles' processes, and stops it in order."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from . import paths
from .client import fetch

START_SECONDS = 180.0
STOP_SECONDS = 90.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Whereabouts:
    """Addresses, as `driftline up` tells them."""

    proxy: str
    collector: str
    analyzer: str
    clickhouse: str
    clickhouse_user: str
    clickhouse_password_file: Path | None

    def password(self) -> str:
        """The database's password."""
        file = self.clickhouse_password_file
        return file.read_text(encoding="utf-8").strip() if file else ""


def die_with_parent() -> None:
    """In a child, before it becomes its program: end when the parent does, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def interrupt(*_: object) -> None:
    """A handler that makes SIGTERM end a script like Ctrl-C, so that what it started is stopped in order."""
    raise KeyboardInterrupt


class NotReadyError(RuntimeError):
    """The program ended or said nothing."""


class Driftline:
    """A running `driftline up`; use it in a `with`."""

    def __init__(self, settings: dict[str, str], log: Path, binary: Path = paths.BINARY) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        command = [str(binary), "up", "--config", str(paths.CONFIG)]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        self._log: IO[bytes] = log.open("wb")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        try:
            self.at = self._told()
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Driftline:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait_until_ready(self) -> None:
        """Roles listen before they are ready: the proxy still loads its models."""
        end = time.monotonic() + START_SECONDS
        for base in (self.at.collector, self.at.proxy, self.at.analyzer):
            while not fetch(f"{base}/health/ready", timeout=5.0).ok:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise NotReadyError(f"{base} did not become ready; see {self.log}")
                time.sleep(0.1)

    def _told(self) -> Whereabouts:
        stdout = self._process.stdout
        if stdout is None or not select.select([stdout], [], [], START_SECONDS)[0]:
            raise NotReadyError(f"`driftline up` was not ready within {START_SECONDS:.0f} s; see {self.log}")
        line = stdout.readline()
        if not line:
            tail = self.log.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise NotReadyError(f"`driftline up` ended before it was ready:\n{tail}")
        told = json.loads(line)
        password_file = told.get("clickhouse_password_file")
        return Whereabouts(
            proxy=told["proxy"],
            collector=told["collector"],
            analyzer=told["analyzer"],
            clickhouse=told["clickhouse"],
            clickhouse_user=told["clickhouse_user"],
            clickhouse_password_file=Path(password_file) if password_file else None,
        )

    def pids(self, role: str) -> list[int]:
        """Processes that run a role (`proxy`, `collect`, `analyze`, `engine`)."""
        return [pid for pid in children(self._process.pid) if command_line(pid)[1:2] == [role]]

    def signal(self, role: str, number: signal.Signals) -> int:
        """Sends a signal to a role; the number of processes that got it."""
        pids = self.pids(role)
        for pid in pids:
            os.kill(pid, number)
        return len(pids)

    def kill_and_wait(self, role: str, seconds: float = 30.0) -> float:
        """`kill -9` of a role; the seconds until the supervisor has another process running."""
        before = self.pids(role)
        if not before:
            raise NotReadyError(f"no process runs the role {role}")
        self.signal(role, signal.SIGKILL)
        killed = time.monotonic()
        while time.monotonic() - killed < seconds:
            if set(self.pids(role)) - set(before):
                return time.monotonic() - killed
            time.sleep(0.02)
        raise NotReadyError(f"{role} was not started again within {seconds:.0f} s; see {self.log}")

    def stop(self) -> int:
        """Stops everything in order; the exit code."""
        if self._process.poll() is None:
            # a paused role cannot drain
            for role in ("proxy", "collect", "analyze", "engine"):
                self.signal(role, signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()
        return self._process.returncode


def children(parent: int) -> list[int]:
    """Child processes of a process, over all of its threads."""
    found: list[int] = []
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:
            continue
    return found


def command_line(pid: int) -> list[str]:
    """A process's arguments; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def free_or(port: int) -> int:
    """`port` if nobody listens on it, else 0, which takes a free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return port


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
