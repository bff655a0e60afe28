"""Copies of the store while others work with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from howdah.domain.errors import SetupError, Unavailable

_BUSY_SECONDS = 30.0
SUFFIXES = ("", "-wal", "-shm")
"""The files of a store that is open, or was not closed."""


@contextmanager
def held(path: Path) -> Generator[sqlite3.Connection]:
    """Nobody writes to the store inside; reading goes on. Raises SetupError, Unavailable."""
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        raise Unavailable(f"the store {path} cannot be copied now: {error}; try again") from None
    except sqlite3.Error as error:
        raise SetupError(f"the store {path} cannot be copied: {error}") from None


def doubt(path: Path) -> None:
    """Note in a copy that nobody else has open that it is an older one: what runs may be something else by now, and
    what somebody waited for was for what was then. Raises SetupError."""
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("UPDATE services SET unconfirmed = 1, switchover = 0, accept_loss = 0")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise SetupError(f"the store {path} cannot be written: {error}") from None


def content(connection: sqlite3.Connection) -> bytes:
    """The whole store as the content of one file. Raises SetupError when it is damaged."""
    found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    if found != ["ok"]:
        raise SetupError(f"the store is damaged, a copy would be too: {'; '.join(found)}")
    return connection.serialize()
