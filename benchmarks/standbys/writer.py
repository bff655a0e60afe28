"""One client that writes until it is told to end, and remembers what was acknowledged, when and by which server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")

PAUSE = 0.005
"""Seconds between two attempts, whether to write or to connect."""

_LONGEST_CONNECT = 10


class TimedOut(SystemExit):
    """What was waited for has not come."""


@dataclass(frozen=True, slots=True)
class Write:
    """``at``: when the acknowledgement came (monotonic seconds). ``server``: when the server that gave it was started,
    which tells one from another also where both have the same address."""

    id: int
    at: float
    server: str


class Writer:
    """``target``: a connection string that leads to whoever is the primary."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._ending = threading.Event()
        self.acknowledged: list[Write] = []

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Into an empty table, from the first acknowledgement on."""
        with connected(self._target) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS writes (id bigint PRIMARY KEY)")
            connection.execute("TRUNCATE writes")
        thread = threading.Thread(target=self._write, daemon=True)
        thread.start()
        try:
            wait("the first write", lambda: self.acknowledged, within=30)
            yield
        finally:
            self._ending.set()
            thread.join(_LONGEST_CONNECT)  # It may wait for a standby that never comes.

    def _write(self) -> None:
        ids, connection, notices = count(1), None, []
        while not self._ending.is_set():
            try:
                if connection is None:
                    connection, notices = connected(self._target), []
                    connection.add_notice_handler(notices.append)
                self._insert(connection, next(ids), notices)
            except psycopg.Error:
                if connection is not None:
                    connection.close()
                connection = None
            time.sleep(PAUSE)
        if connection is not None:
            connection.close()

    def _insert(self, connection: psycopg.Connection[Any], id: int, notices: list[Any]) -> None:
        # Without parameters, so that it goes as one simple query, whose completion is told after the commit.
        statement = f"INSERT INTO writes VALUES ({id}) RETURNING pg_postmaster_start_time()::text"
        row = connection.execute(statement.encode()).fetchone()
        assert row is not None
        # A commit that gave up waiting for its standby succeeds with a warning: it promises nothing.
        if not notices:
            self.acknowledged.append(Write(id, time.monotonic(), row[0]))
        notices.clear()

    def first_of_another(self, server: str, *, within: float) -> Write:
        """The first write that was acknowledged by another server, or by the same started anew."""
        return wait(
            "a write after the failure",
            lambda: next((one for one in self.acknowledged if one.server != server), None),
            within=within,
        )

    def longest_gap(self, since: float) -> float:
        """Seconds between two acknowledgements of which the later came after that moment."""
        return max(later.at - earlier.at for earlier, later in pairwise(self.acknowledged) if later.at > since)

    def lost(self) -> int:
        """How many acknowledged writes are not there. To be asked after it has ended."""
        with connected(self._target) as connection:
            found = {row[0] for row in connection.execute("SELECT id FROM writes")}
        return sum(one.id not in found for one in self.acknowledged)


def connected(target: str) -> psycopg.Connection[Any]:
    return psycopg.connect(target, autocommit=True, connect_timeout=_LONGEST_CONNECT)


def wait(what: str, probe: Callable[[], T], *, within: float) -> T:
    """The first truthy answer. Raises TimedOut."""
    deadline = time.monotonic() + within
    while not (answer := probe()):
        if time.monotonic() > deadline:
            raise TimedOut(f"{what}: not within {within:.0f} s")
        time.sleep(PAUSE)
    return answer
