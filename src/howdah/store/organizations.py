"""Stored organizations."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, insert, select, update

from howdah.domain.organizations import Organization
from howdah.store.prepared import Prepared
from howdah.store.store import Store
from howdah.store.tables import organizations
from howdah.store.times import from_ms, to_ms


def _select() -> Select[*tuple[Any, ...]]:
    columns = organizations.c
    return select(columns.id, columns.name, columns.created_at, columns.retention_days)


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
            id=str(organization.id),
            name=organization.name,
            created_at=to_ms(organization.created_at),
            retention_days=organization.retention_days,
        )
    )


def set_retention(connection: Connection, organization: UUID, days: int | None) -> None:
    statement = update(organizations).where(organizations.c.id == str(organization))
    connection.execute(statement.values(retention_days=days))


def _organization(row: tuple[Any, ...]) -> Organization:
    return Organization(UUID(row[0]), row[1], from_ms(row[2]), row[3])
