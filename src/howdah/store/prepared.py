"""Statements of SQLAlchemy Core that are compiled once and run on the driver itself.

A read by primary key costs tens of microseconds that way, so that it may run in the event loop.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects import sqlite

_DIALECT = sqlite.dialect(paramstyle="named")


class Prepared:
    """A ``SELECT`` with its named parameters (``bindparam``); rows come as tuples of plain values."""

    __slots__ = ("_constants", "sql")

    def __init__(self, statement: ClauseElement) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self._constants: dict[str, Any] = {
            name: value for name, value in (compiled.params or {}).items() if value is not None
        }

    def parameters(self, given: dict[str, Any]) -> dict[str, Any]:
        return self._constants | given
