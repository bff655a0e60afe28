"""Opening, reading and writing the store.

Reads run in the event loop on a connection of their own. Writes run one after another on one thread, each a
transaction that begins with the write lock, so that what it reads stays true until it commits.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, pool
from sqlalchemy.exc import DBAPIError, OperationalError

from howdah.domain.errors import SetupError, Unavailable
from howdah.store.migrate import migrate
from howdah.store.prepared import Prepared
from howdah.store.room import BALLAST_BYTES, Ballast, free_bytes
from howdah.store.soundness import check_sound

T = TypeVar("T")

_BUSY_MS = 5_000
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_PRAGMAS = (
    f"PRAGMA busy_timeout = {_BUSY_MS}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    "PRAGMA journal_size_limit = 0",
)
"""``secure_delete``: nothing of a removed secret stays in free pages; ``journal_size_limit``: nor in an old log."""


class Store:
    """The store in one file. Several processes may have it open; each write is seen by all reads that follow it."""

    def __init__(self, path: Path) -> None:
        """Opens the file, creates or migrates it. Raises SetupError when it is damaged or newer than this Howdah."""
        self.path = path
        self._ballast = Ballast(path.with_suffix(".ballast"))
        self._refused: str | None = None
        try:
            _create_private(path)
            self._reader = self._open()
            self._connection = _connect(path)
            self._engine = _engine(self._connection)
            migrate(self._engine)
        except OSError as error:
            raise SetupError(f"the store {path} cannot be opened: {error.strerror}") from None
        except (sqlite3.Error, DBAPIError) as error:
            raise SetupError(f"the store {path} cannot be opened: {_reason(error)}") from None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the writes that have begun."""
        self._writer.shutdown(cancel_futures=True)
        self._engine.dispose()
        self._reader.close()

    def all(self, query: Prepared, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Every row that ``query`` finds. Raises Unavailable when the store cannot be read."""
        try:
            return self._reader.execute(query.sql, query.parameters(dict(parameters or {}))).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"the store cannot be read: {error}") from error

    def one(self, query: Prepared, parameters: Mapping[str, Any] | None = None) -> tuple[Any, ...] | None:
        """The only row that ``query`` finds, or None. Raises Unavailable when the store cannot be read."""
        rows = self.all(query, parameters)
        return rows[0] if rows else None

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Reads inside see one state of the store. Nothing may be awaited inside."""
        try:
            self._reader.execute("BEGIN")
        except sqlite3.Error as error:
            raise Unavailable(f"the store cannot be read: {error}") from error
        try:
            yield
        finally:
            self._reader.execute("ROLLBACK")

    async def write(self, change: Callable[[Connection], T], *, makes_room: bool = False) -> T:
        """Runs ``change`` in a transaction on the writer thread; when this returns, the change is on the disk.

        makes_room: it leads to something being deleted, and so may have the room that is kept for that.
        Raises Unavailable when the disk is full or another process holds the store. A caller that is cancelled does
        not know whether the change was made; it is made whole or not at all.
        """
        work = self._transact_at_any_rate if makes_room else self._transact
        return await asyncio.get_running_loop().run_in_executor(self._writer, work, change)

    def _transact(self, change: Callable[[Connection], T]) -> T:
        try:
            with self._engine.begin() as connection:
                result = change(connection)
        except OperationalError as error:
            self._refused = _reason(error)
            raise Unavailable(f"the store cannot be written: {self._refused}; nothing was changed") from error
        self._refused = None
        return result

    def _transact_at_any_rate(self, change: Callable[[Connection], T]) -> T:
        try:
            return self._transact(change)
        except Unavailable:
            if not self._ballast.release():
                raise
        return self._transact(change)

    def problem(self) -> str | None:
        """Why the store cannot be written, as far as that is known; None when it can."""
        if self._refused is not None:
            return f"it cannot be written: {self._refused}"
        try:
            free = free_bytes(self.path)
        except OSError as error:
            return f"its disk cannot be asked for room: {error.strerror}"
        if free < BALLAST_BYTES and not self._ballast.is_there():
            return "its disk is full; deleting services, or anything else on it, makes room"
        if free == 0:
            return "its disk is full, but for the room kept to delete services"
        return None

    async def keep_room(self) -> bool:
        """Makes the ballast again where it has been given away, and tries what was refused before; whether all is well.
        Cheap while it is."""
        if self._refused is None and self._ballast.is_there():
            return True
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._keep_room)

    def _keep_room(self) -> bool:
        try:
            if not self._ballast.is_there():
                self._ballast.make()
            if self._refused is not None:
                self._transact(lambda connection: connection.exec_driver_sql("PRAGMA user_version = 0"))
        except (OSError, Unavailable):
            return False
        return True

    async def forget(self) -> None:
        """Empties the write-ahead log, so that no removed secret stays in it."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._truncate_log)

    def _truncate_log(self) -> None:
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"the store cannot be written: {error}") from error

    def _open(self) -> sqlite3.Connection:
        """The first connection makes files beside the store, which a full disk has no room for."""
        try:
            return _connect_if_sound(self.path)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _NO_ROOM or not self._ballast.release():
                raise
            return _connect_if_sound(self.path)


def _create_private(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _connect_if_sound(path: Path) -> sqlite3.Connection:
    check_sound(path)
    return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in _PRAGMAS:
        connection.execute(pragma).fetchall()
    return connection


def _engine(connection: sqlite3.Connection) -> Engine:
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=pool.StaticPool)

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "begin", begin)
    return engine


def _reason(error: Exception) -> str:
    return str(error.orig) if isinstance(error, DBAPIError) else str(error)
