"""Stored hostnames: the current one of each service, and earlier ones until they expire."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from howdah.domain.ids import ServiceId
from howdah.store.prepared import Prepared
from howdah.store.store import Store
from howdah.store.tables import hostnames
from howdah.store.times import maybe_from_ms, to_ms

_CURRENT_FIRST = (hostnames.c.expires_at.is_not(None), hostnames.c.expires_at.desc(), hostnames.c.hostname)
_OF = select(hostnames.c.hostname).where(hostnames.c.service == bindparam("service")).order_by(*_CURRENT_FIRST)
_NAMES_OF = Prepared(_OF)
_EXPIRED = Prepared(select(hostnames.c.service).where(hostnames.c.expires_at <= bindparam("now")).distinct())

_NEXT = Prepared(select(func.min(hostnames.c.expires_at)).where(hostnames.c.expires_at.is_not(None)))


def of(store: Store, service: ServiceId) -> tuple[str, ...]:
    """The hostnames of a service, the current one first."""
    return tuple(row[0] for row in store.all(_NAMES_OF, {"service": str(service.uuid)}))


def within(connection: Connection, service: ServiceId) -> tuple[str, ...]:
    """The same inside a transaction."""
    return tuple(connection.execute(_OF, {"service": str(service.uuid)}).scalars())


def with_expired(store: Store, now: datetime) -> list[ServiceId]:
    """Services that have a hostname whose time is over."""
    return [ServiceId(UUID(row[0])) for row in store.all(_EXPIRED, {"now": to_ms(now)})]


def next_expiry(store: Store) -> datetime | None:
    """When the next name expires."""
    row = store.one(_NEXT)
    return None if row is None else maybe_from_ms(row[0])


def add(connection: Connection, service: ServiceId, hostname: str) -> None:
    """Makes it the current one; there must be none."""
    connection.execute(insert(hostnames).values(service=str(service.uuid), hostname=hostname, expires_at=None))


def expire_current(connection: Connection, service: ServiceId, at: datetime) -> None:
    connection.execute(
        update(hostnames)
        .where(hostnames.c.service == str(service.uuid), hostnames.c.expires_at.is_(None))
        .values(expires_at=to_ms(at))
    )


def remove_expired(connection: Connection, service: ServiceId, now: datetime) -> None:
    """Takes away the names whose time is over."""
    connection.execute(
        delete(hostnames).where(hostnames.c.service == str(service.uuid), hostnames.c.expires_at <= to_ms(now))
    )
