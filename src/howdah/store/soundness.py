"""Whether a store is sound, found out without changing any of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from howdah.domain.errors import SetupError
from howdah.store.migrate import HEAD, is_known
from howdah.store.tables import metadata

_LOG_HEADER = 32
_LOG_BEGINNINGS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83", bytes(4))
"""https://www.sqlite.org/fileformat2.html#the_write_ahead_log; zeros: the power went before the first write to it."""


def check_sound(path: Path) -> None:
    """Raises SetupError when the store is damaged or newer than this Howdah; sqlite3.Error when it cannot be opened."""
    log = path.with_name(f"{path.name}-wal")
    logged = log.stat().st_size if log.exists() else 0
    if path.stat().st_size == 0:
        if logged:
            raise _damaged(path, "it is empty, though its log is not")
        return
    if logged >= _LOG_HEADER:
        with log.open("rb") as opened:
            if opened.read(4) not in _LOG_BEGINNINGS:
                raise _damaged(path, f"{log.name} is not its log")
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            connection.execute("BEGIN")
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
            if found != ["ok"]:
                raise _damaged(path, "; ".join(found))
            _check_tables(path, connection)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
                raise
            raise _damaged(path, str(error)) from None  # So badly that it cannot even be checked.


def _check_tables(path: Path, connection: sqlite3.Connection) -> None:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" not in tables:
        if tables & metadata.tables.keys():
            raise _damaged(path, "the table alembic_version is missing")
        return
    (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or (None,)
    if revision is not None and not is_known(revision):
        raise SetupError(
            f"the store {path} was written by a newer Howdah (schema {revision}, this one knows up to {HEAD}):"
            " start that version, or put back a store from before its upgrade"
        )
    if revision == HEAD and (missing := metadata.tables.keys() - tables):
        raise _damaged(path, f"the table {', '.join(sorted(missing))} is missing")


def _damaged(path: Path, why: str) -> SetupError:
    return SetupError(f"the store {path} is damaged: {why}; put a backup of it in its place")
