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
_OF = Prepared(
    select(*(role_changes.c[name] for name in _NAMES))
    .where(role_changes.c.service == bindparam("service"))
    .order_by(role_changes.c.number.desc())
)


def of(store: Store, service: ServiceId) -> list[RoleChange]:
    """The newest first."""
    return [_change(row) for row in store.all(_OF, {"service": str(service.uuid)})]


def count(connection: Connection, service: ServiceId) -> int:
    """How often its primary has changed; inside a transaction."""
    query = select(func.count()).select_from(role_changes).where(role_changes.c.service == str(service.uuid))
    return connection.execute(query).scalar_one()


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
