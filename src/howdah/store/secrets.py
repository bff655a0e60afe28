"""Sealed secrets of services. What is in them is not known here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.dialects.sqlite import insert

from howdah.domain.ids import ServiceId
from howdah.store.prepared import Prepared
from howdah.store.store import Store
from howdah.store.tables import secrets

_OF = select(secrets.c.kind, secrets.c.sealed).where(secrets.c.service == bindparam("service"))
_ALL_OF = Prepared(_OF)


def of(store: Store, service: ServiceId) -> dict[str, bytes]:
    """Sealed secrets of a service by kind."""
    return dict(_pairs(store.all(_ALL_OF, {"service": str(service.uuid)})))


def within(connection: Connection, service: ServiceId) -> dict[str, bytes]:
    """The same inside a transaction."""
    return dict(_pairs([tuple(row) for row in connection.execute(_OF, {"service": str(service.uuid)})]))


def put(connection: Connection, service: ServiceId, sealed: Mapping[str, bytes]) -> None:
    """Stores each, replacing one of its kind."""
    for kind, content in sealed.items():
        statement = insert(secrets).values(service=str(service.uuid), kind=kind, sealed=content)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[secrets.c.service, secrets.c.kind], set_={"sealed": statement.excluded.sealed}
            )
        )


def key_ids(store: Store, where: slice) -> set[bytes]:
    """Ids of the keys that everything was sealed with; ``where`` they are in a sealed secret."""
    part = func.substr(secrets.c.sealed, where.start + 1, where.stop - where.start)
    return {row[0] for row in store.all(Prepared(select(part).distinct()))}


def sealed_otherwise(
    connection: Connection, where: slice, key_id: bytes, limit: int
) -> list[tuple[ServiceId, str, bytes]]:
    """Service, kind and content of at most ``limit`` secrets that another key than ``key_id`` has sealed."""
    part = func.substr(secrets.c.sealed, where.start + 1, where.stop - where.start)
    query = select(secrets.c.service, secrets.c.kind, secrets.c.sealed).where(part != key_id).limit(limit)
    return [(ServiceId(UUID(row.service)), row.kind, row.sealed) for row in connection.execute(query)]


def _pairs(rows: list[tuple[Any, ...]]) -> list[tuple[str, bytes]]:
    return [(row[0], row[1]) for row in rows]
