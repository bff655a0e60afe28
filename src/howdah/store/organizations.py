"""Stored organizations."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from howdah.domain.organizations import Organization
from howdah.domain.quotas import Quota, Usage
from howdah.domain.states import ServiceState
from howdah.store.prepared import Prepared
from howdah.store.store import Store
from howdah.store.tables import organizations, services
from howdah.store.times import from_ms, to_ms


def _select() -> Select[*tuple[Any, ...]]:
    return select(
        organizations.c.id,
        organizations.c.name,
        organizations.c.created_at,
        organizations.c.service_quota,
        organizations.c.storage_quota_gib,
        organizations.c.retention_days,
    )


_SELECT_ONE = _select().where(organizations.c.id == bindparam("id"))
_ONE = Prepared(_SELECT_ONE)
_ALL = Prepared(_select().order_by(organizations.c.number))
_USAGE = select(
    func.count(),
    func.coalesce(func.sum(services.c.storage_gib), 0),
    func.count().filter(services.c.state == ServiceState.DELETING),
).where(services.c.organization == bindparam("id"))


def find(store: Store, organization: UUID) -> Organization | None:
    row = store.one(_ONE, {"id": str(organization)})
    return None if row is None else _organization(row)


def within(connection: Connection, organization: UUID) -> Organization | None:
    """The same inside a transaction."""
    row = connection.execute(_SELECT_ONE, {"id": str(organization)}).one_or_none()
    return None if row is None else _organization(tuple(row))


def usage(connection: Connection, organization: UUID) -> Usage:
    """What it has, inside a transaction."""
    return Usage(*connection.execute(_USAGE, {"id": str(organization)}).one())


def everyone(store: Store) -> list[Organization]:
    """All organizations, oldest first."""
    return [_organization(row) for row in store.all(_ALL)]


def exist(connection: Connection) -> bool:
    """Whether there is any, inside a transaction."""
    return connection.execute(_select().limit(1)).first() is not None


def add(connection: Connection, organization: Organization) -> None:
    connection.execute(
        insert(organizations).values(
            id=str(organization.id), created_at=to_ms(organization.created_at), **_changeable(organization)
        )
    )


def change(connection: Connection, organization: Organization) -> None:
    """Stores what of an organization can change."""
    named = update(organizations).where(organizations.c.id == str(organization.id))
    connection.execute(named.values(**_changeable(organization)))


def _changeable(organization: Organization) -> dict[str, Any]:
    quota = organization.quota
    return {
        "name": organization.name,
        "service_quota": quota.services,
        "storage_quota_gib": quota.storage_gib,
        "retention_days": organization.retention_days,
    }


def _organization(row: tuple[Any, ...]) -> Organization:
    return Organization(UUID(row[0]), row[1], from_ms(row[2]), row[5], Quota(row[3], row[4]))
