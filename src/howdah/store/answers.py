"""Kept answers, sealed. What is in them is not known here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from howdah.store.prepared import Prepared
from howdah.store.store import Store
from howdah.store.tables import answers
from howdah.store.times import to_ms

_SINCE = (
    select(answers.c.sealed)
    .where(answers.c.scope == bindparam("scope"))
    .where(answers.c.created_at > bindparam("since"))
)
_ONE = Prepared(_SINCE)


def find(store: Store, scope: str, since: datetime) -> bytes | None:
    """The answer of that scope, if it was given after ``since``."""
    row = store.one(_ONE, {"scope": scope, "since": to_ms(since)})
    return None if row is None else row[0]


def exists(connection: Connection, scope: str, since: datetime) -> bool:
    return connection.execute(_SINCE, {"scope": scope, "since": to_ms(since)}).first() is not None


def put(connection: Connection, scope: str, at: datetime, sealed: bytes) -> None:
    """Stores it, in the place of an older one."""
    connection.execute(delete(answers).where(answers.c.scope == scope))
    connection.execute(insert(answers).values(scope=scope, created_at=to_ms(at), sealed=sealed))


def reseal(connection: Connection, scope: str, sealed: bytes) -> None:
    connection.execute(update(answers).where(answers.c.scope == scope).values(sealed=sealed))


def forget(connection: Connection, until: datetime, most: int) -> int:
    """Deletes at most that many that were given until then; how many."""
    old = select(answers.c.scope).where(answers.c.created_at <= to_ms(until)).limit(most)
    return connection.execute(delete(answers).where(answers.c.scope.in_(old))).rowcount


def key_ids(store: Store, where: slice) -> set[bytes]:
    """As ``secrets.key_ids``."""
    part = func.substr(answers.c.sealed, where.start + 1, where.stop - where.start)
    return {row[0] for row in store.all(Prepared(select(part).distinct()))}


def sealed_otherwise(connection: Connection, where: slice, key_id: bytes, limit: int) -> list[tuple[str, bytes]]:
    """Scope and content of at most ``limit`` that another key than ``key_id`` has sealed."""
    part = func.substr(answers.c.sealed, where.start + 1, where.stop - where.start)
    query = select(answers.c.scope, answers.c.sealed).where(part != key_id).limit(limit)
    return [(row.scope, row.sealed) for row in connection.execute(query)]
