"""Stored organizations."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, insert, select

from howdah.domain.organizations import Organization
from howdah.store.prepared import Prepared
from howdah.store.store import Store
from howdah.store.tables import organizations
from howdah.store.times import from_ms, to_ms


def _select() -> Select[*tuple[Any, ...]]:
    return select(organizations.c.id, organizations.c.name, organizations.c.created_at)


_ONE = Prepared(_select().where(organizations.c.id == bindparam("id")))
_ALL = Prepared(_select().order_by(organizations.c.number))


def find(store: Store, organization: UUID) -> Organization | None:
    row = store.one(_ONE, {"id": str(organization)})
    return None if row is None else _organization(row)


def everyone(store: Store) -> list[Organization]:
    """All organizations, oldest first."""
    return [_organization(row) for row in store.all(_ALL)]


def exist(connection: Connection) -> bool:
    """Whether there is any, inside a transaction."""
    return connection.execute(_select().limit(1)).first() is not None


def add(connection: Connection, organization: Organization) -> None:
    connection.execute(
        insert(organizations).values(
            id=str(organization.id), name=organization.name, created_at=to_ms(organization.created_at)
        )
    )


def _organization(row: tuple[Any, ...]) -> Organization:
    return Organization(UUID(row[0]), row[1], from_ms(row[2]))
