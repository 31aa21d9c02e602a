"""Asks ClickHouse over its HTTP interface."""

from __future__ import annotations

import time
from urllib.parse import quote

from .client import Client
from .processes import Whereabouts


class QueryError(RuntimeError):
    """ClickHouse said no, or nothing."""


class Database:
    """The demo's database."""

    def __init__(self, at: Whereabouts, database: str = "driftline") -> None:
        self._client = Client(at.clickhouse, timeout=60.0)
        self._at = at
        self._path = f"/?database={quote(database)}"

    def query(self, sql: str) -> str:
        """The answer in ClickHouse's text form (tab-separated unless the query says otherwise)."""
        headers = {"X-ClickHouse-User": self._at.clickhouse_user, "X-ClickHouse-Key": self._at.password()}
        answer = self._client.send("POST", self._path, sql.encode(), headers)
        if not answer.ok:
            raise QueryError(f"{sql}: {answer.status} {answer.text()[:300]}")
        return answer.text().strip()

    def number(self, sql: str) -> int:
        """The answer of a query for one integer."""
        return int(self.query(sql))

    def tables(self) -> list[str]:
        """Tables, without views."""
        listed = (
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine NOT LIKE '%View' ORDER BY 1"
        )
        return self.query(listed).splitlines()

    def wait_for(self, sql: str, least: int, seconds: float) -> int:
        """Waits until a query for an integer gives at least `least`; what it gave last."""
        end = time.monotonic() + seconds
        while True:
            try:
                found = self.number(sql)
            except QueryError:
                found = -1
            if found >= least or time.monotonic() > end:
                return found
            time.sleep(0.2)
