"""A small HTTP client over the standard library: one kept-alive connection, JSON in and out."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What a server answered; status 0 where it did not."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:  # noqa: ANN401 - JSON is anything
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """Talks to one server. Not for several threads at once."""

    def __init__(self, base: str, timeout: float = 15.0) -> None:
        split = urlsplit(base)
        self._host, self._port = split.hostname or "127.0.0.1", split.port or 80
        self._prefix = split.path.rstrip("/")
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> Answer:
        """GET."""
        return self.send("GET", path, None, {})

    def post(self, path: str, value: object, headers: dict[str, str] | None = None) -> Answer:
        """POST of JSON."""
        body = json.dumps(value, ensure_ascii=False).encode()
        return self.send("POST", path, body, {"content-type": "application/json"} | (headers or {}))

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """One request. A connection that the server closed while it was idle is opened again once."""
        for attempt in (1, 2):
            fresh = self._connection is None
            try:
                return self._exchange(method, path, body, headers)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                self.close()
                if fresh or attempt == 2:
                    return Answer(0, {}, str(error).encode())
            except (OSError, http.client.HTTPException) as error:
                self.close()
                return Answer(0, {}, str(error).encode())
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        self._connection.request(method, self._prefix + path, body=body, headers=headers)
        response = self._connection.getresponse()
        content = response.read()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, content)


def fetch(url: str, timeout: float = 15.0) -> Answer:
    """One GET on a connection of its own."""
    split = urlsplit(url)
    client = Client(f"{split.scheme}://{split.netloc}", timeout)
    try:
        return client.get((split.path or "/") + (f"?{split.query}" if split.query else ""))
    finally:
        client.close()
