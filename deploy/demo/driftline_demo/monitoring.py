"""A real Prometheus with the rendered rules, a real Alertmanager, and somebody who takes its calls."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode

from . import paths, processes
from .client import fetch
from .processes import Whereabouts


@dataclass(frozen=True)
class Call:
    """One alert in one notification of Alertmanager's."""

    at: float
    status: str
    name: str
    severity: str
    labels: dict[str, str]


@dataclass(frozen=True)
class Episode:
    """An alert from the first evaluation at which it fired to the last in a row, in the wall clock's seconds."""

    labels: dict[str, str]
    began: float
    ended: float


class Pager:
    """Receives Alertmanager's webhooks on a free port."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                pager._take(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _take(self, body: dict) -> None:
        with self._lock:
            for alert in body["alerts"]:
                labels = alert["labels"]
                name, severity = labels.get("alertname", ""), labels.get("severity", "")
                self._calls.append(Call(time.monotonic(), alert["status"], name, severity, labels))

    def calls(self, severity: str | None = None) -> list[Call]:
        """All calls so far, or those of a severity."""
        with self._lock:
            return [c for c in self._calls if severity in (None, c.severity)]

    def wait_for(self, holds: Callable[[list[Call]], bool], seconds: float) -> None:
        """Waits until the calls are such, or the time is over."""
        end = time.monotonic() + seconds
        while not holds(self.calls()) and time.monotonic() < end:
            time.sleep(0.5)

    def ringing(self, severity: str) -> set[tuple[str, str]]:
        """Alerts whose last call says that they fire, by name and objective."""
        last = {(c.name, c.labels.get("slo", "")): c.status for c in self.calls(severity)}
        return {alert for alert, status in last.items() if status == "firing"}

    def forget(self) -> None:
        """Forgets all calls so far."""
        with self._lock:
            self._calls.clear()

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()


class Monitoring:
    """Prometheus, Alertmanager and the pager, set up by `driftline render`; use it in a `with`."""

    def __init__(self, at: Whereabouts, folder: Path, binary: Path = paths.BINARY) -> None:
        self._folder = folder
        self._logs: list[IO[bytes]] = []
        self._running: list[subprocess.Popen[bytes]] = []
        self.pager = Pager()
        self.prometheus = f"127.0.0.1:{processes.free_port()}"
        self.alertmanager = f"127.0.0.1:{processes.free_port()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            self._render(at, binary)
            self._start()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Monitoring:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _render(self, at: Whereabouts, binary: Path) -> None:
        command = [str(binary), "render", "--config", str(paths.CONFIG), "--out", str(self._folder / "rendered")]
        for option, url in (("proxy", at.proxy), ("collector", at.collector), ("analyzer", at.analyzer)):
            command += [f"--{option}", url.removeprefix("http://")]
        command += ["--alertmanager", self.alertmanager, "--webhook", self.pager.url]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def _start(self) -> None:
        rendered = self._folder / "rendered"
        (config,) = rendered.rglob("prometheus.yml")
        (routes,) = rendered.rglob("alertmanager.yml")
        self._spawn(
            "alertmanager",
            "prometheus-alertmanager",
            f"--config.file={routes}",
            f"--storage.path={self._folder / 'alertmanager'}",
            f"--web.listen-address={self.alertmanager}",
            "--cluster.listen-address=",
        )
        self._spawn(
            "prometheus",
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={self._folder / 'prometheus-data'}",
            f"--web.listen-address={self.prometheus}",
        )
        for address in (self.alertmanager, self.prometheus):
            self._wait_for(address)

    def _spawn(self, name: str, *command: str) -> None:
        log = (self._folder / f"{name}.log").open("wb")
        self._logs.append(log)
        self._running.append(
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=processes.die_with_parent,
            )
        )

    def _wait_for(self, address: str, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not fetch(f"http://{address}/-/ready", timeout=2.0).ok:
            if time.monotonic() > end or any(p.poll() is not None for p in self._running):
                logs = "\n".join((self._folder / f).read_text() for f in ("prometheus.log", "alertmanager.log"))
                raise RuntimeError(f"monitoring does not start:\n{logs[-3000:]}")
            time.sleep(0.1)

    def settle(self, targets: int, seconds: float = 60.0) -> None:
        """Waits until all targets are scraped and nobody is called any more, and forgets the calls up to then.

        Prometheus hands targets to its scraper up to five seconds after its start. In the demo's time that is long
        enough for an alert that a series is missing.
        """
        end = time.monotonic() + seconds
        while self._scraped() < targets or self.firing() or self.pager.ringing("page"):
            if time.monotonic() > end:
                raise RuntimeError(f"{self._scraped()} of {targets} targets are scraped, firing: {self.firing()}")
            time.sleep(0.2)
        self.pager.forget()

    def _scraped(self) -> int:
        answer = fetch(f"http://{self.prometheus}/api/v1/query?query=up")
        return sum(r["value"][1] == "1" for r in answer.json()["data"]["result"]) if answer.ok else 0

    def firing(self) -> list[dict[str, str]]:
        """Labels of the alerts that Prometheus has firing now."""
        answer = fetch(f"http://{self.prometheus}/api/v1/alerts")
        alerts = answer.json()["data"]["alerts"] if answer.ok else []
        return [a["labels"] for a in alerts if a["state"] == "firing"]

    def history(self, begin: float, end: float) -> list[Episode]:
        """What fired between two times, by Prometheus' own record, which has every evaluation."""
        query = {"query": 'ALERTS{alertstate="firing"}', "start": f"{begin:.0f}", "end": f"{end:.0f}", "step": "1"}
        answer = fetch(f"http://{self.prometheus}/api/v1/query_range?{urlencode(query)}")
        if not answer.ok:
            raise RuntimeError(f"Prometheus tells no history: {answer.status} {answer.text()[:200]}")
        return [episode for series in answer.json()["data"]["result"] for episode in episodes(series)]

    def stop(self) -> None:
        """Stops all three."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for log in self._logs:
            log.close()
        self.pager.close()


# an evaluation may be skipped on a busy machine without the alert having ended
GAP_SECONDS = 5.0


def episodes(series: dict[str, Any]) -> list[Episode]:
    """A series of `ALERTS`, one sample a second while it fires, cut where it did not."""
    labels = {k: v for k, v in series["metric"].items() if k not in ("__name__", "alertstate")}
    found: list[Episode] = []
    for at, _ in series["values"]:
        if found and at - found[-1].ended <= GAP_SECONDS:
            found[-1] = Episode(labels, found[-1].began, at)
        else:
            found.append(Episode(labels, at, at))
    return found
