"""Stored changes of the primaries of services, as long as those exist."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.dialects.sqlite import insert

from howdah.domain.failovers import ChangeKind, RoleChange
from howdah.domain.ids import InstanceId, ServiceId
from howdah.store.prepared import Prepared
from howdah.store.store import Store
from howdah.store.tables import role_changes
from howdah.store.times import from_ms, to_ms

_MEASURES = ("detection_ms", "fencing_ms", "promotion_ms", "first_write_ms")
_NAMES = ("id", "service", "at", "kind", "cause", "former", "new", "position", "lost_bytes", *_MEASURES)
_NEWEST = Prepared(
    select(*(role_changes.c[name] for name in _NAMES))
    .where(role_changes.c.service == bindparam("service"))
    .order_by(role_changes.c.number.desc())
    .limit(bindparam("limit"))
)
_COUNT = select(func.count()).select_from(role_changes).where(role_changes.c.service == bindparam("service"))
_HOW_MANY = Prepared(_COUNT)


def newest(store: Store, service: ServiceId, limit: int) -> list[RoleChange]:
    """The newest first."""
    return [_change(row) for row in store.all(_NEWEST, {"service": str(service.uuid), "limit": limit})]


def count(store: Store, service: ServiceId) -> int:
    """How often its primary has changed."""
    found = store.one(_HOW_MANY, {"service": str(service.uuid)})
    return 0 if found is None else int(found[0])


def count_within(connection: Connection, service: ServiceId) -> int:
    """The same inside a transaction."""
    return connection.execute(_COUNT, {"service": str(service.uuid)}).scalar_one()


def put(connection: Connection, change: RoleChange) -> None:
    """Stores it, or replaces the one with its id."""
    values: dict[str, Any] = {
        "service": str(change.service.uuid),
        "at": to_ms(change.at),
        "kind": change.kind,
        "cause": change.cause,
        "former": str(change.former.uuid),
        "new": str(change.new.uuid),
        "position": change.position,
        "lost_bytes": change.lost_bytes,
    }
    values |= {name: getattr(change, name) for name in _MEASURES}
    statement = insert(role_changes).values(id=str(change.id), **values)
    connection.execute(statement.on_conflict_do_update(index_elements=[role_changes.c.id], set_=values))


def _change(row: tuple[Any, ...]) -> RoleChange:
    identifier, service, at, kind, cause, former, new, *rest = row
    return RoleChange(
        UUID(identifier),
        ServiceId.parse(service),
        from_ms(at),
        ChangeKind(kind),
        cause,
        InstanceId.parse(former),
        InstanceId.parse(new),
        *rest,
    )
