"""Clients that append to lists and read them all the time, and write down what they saw."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from fixtures.server import eventually

from ha.history import Append, Operation, Outcome, Read
from ha.service import HaService

KEYS = 100_000
"""Lists that there are."""

_OPEN, _LONGEST = 6, 60
"""Lists that are in use at a time, and after how many appends one makes room for the next: a read shows all of one."""


@dataclass
class Clients:
    service: HaService
    seed: int
    operations: list[Operation] = field(default_factory=list[Operation])
    refused: int = 0
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self, client: int) -> None:
        chance = random.Random(f"{self.seed} {client}")
        connection: psycopg.Connection[Any] | None = None
        while not self._stop.is_set():
            if connection is None or connection.closed:
                try:
                    connection = self.service.connect()
                except psycopg.Error:
                    self.refused += 1
                    self._stop.wait(0.02)  # As a driver that comes again does.
                    continue
            try:
                self._operate(connection, chance)
            except psycopg.Error:
                with suppress(psycopg.Error):
                    connection.close()
        if connection is not None:
            connection.close()

    def stop(self) -> None:
        self._stop.set()

    def appended(self) -> int:
        """How many appends have been acknowledged."""
        return sum(isinstance(one, Append) and one.outcome is Outcome.OK for one in tuple(self.operations))

    def goes_on(self, *, within: float = 120) -> None:
        before = self.appended()
        eventually("appends go on", lambda: self.appended() > before + 3, within=within, every=0.2)

    def final(self) -> dict[int, tuple[int, ...]]:
        return {
            key: tuple(items) for key, items in self.service.sql("SELECT key, items FROM lists WHERE items <> '{}'")
        }

    def _operate(self, connection: psycopg.Connection[Any], chance: random.Random) -> None:
        if chance.random() < 0.5:
            number = next(self._numbers)
            # The first lists fill up, others come.
            self._append(connection, number // (_OPEN * _LONGEST) * _OPEN + chance.randrange(_OPEN), number)
        else:
            newest = len(self.operations) and next(
                (one.key for one in reversed(self.operations) if isinstance(one, Append)), 0
            )
            self._read(connection, newest // _OPEN * _OPEN + chance.randrange(_OPEN))

    def _append(self, connection: psycopg.Connection[Any], key: int, number: int) -> None:
        alone: list[str] = []
        connection.add_notice_handler(handler := lambda notice: alone.append(notice.message_primary or ""))
        began = time.monotonic()
        outcome = Outcome.UNKNOWN
        try:
            connection.execute("UPDATE lists SET items = items || %s::bigint WHERE key = %s", (number, key))
            # With a warning that it has waited in vain for a standby it is committed, and is not acknowledged.
            outcome = Outcome.UNKNOWN if alone else Outcome.OK
        except psycopg.Error as error:
            # An error that leaves the connection in place has rolled back; the end of the connection says nothing.
            if error.diag.severity_nonlocalized == "ERROR":
                outcome = Outcome.FAILED
            raise
        finally:
            self.operations.append(Append(key, number, outcome, began, time.monotonic()))
            connection.remove_notice_handler(handler)

    def _read(self, connection: psycopg.Connection[Any], key: int) -> None:
        began = time.monotonic()
        found = connection.execute("SELECT items FROM lists WHERE key = %s", (key,)).fetchall()
        self.operations.append(Read(key, tuple(found[0][0]), began, time.monotonic()))


@contextmanager
def appending(service: HaService, *, clients: int, seed: int) -> Generator[Clients]:
    """So many clients; none hangs when it is over."""
    service.sql("CREATE TABLE lists (key bigint PRIMARY KEY, items bigint[] NOT NULL DEFAULT '{}')")
    service.sql("INSERT INTO lists (key) SELECT generate_series(0, %s - 1)", KEYS)
    made = Clients(service, seed)
    threads = [threading.Thread(target=made.run, args=(number,), daemon=True) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        eventually("they append", lambda: made.appended() > 10)
        yield made
    finally:
        made.stop()
        for thread in threads:
            thread.join(timeout=60)
    hanging = [thread.name for thread in threads if thread.is_alive()]
    assert not hanging, f"clients hang: {hanging}"
