"""Stored instances of the local engine."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import IntegrityError

from howdah.domain.activities import SYSTEM, Activity, ActivityType, Deed
from howdah.domain.errors import Conflict
from howdah.domain.failovers import ChangeKind, RoleChange
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance, Role
from howdah.store import activities, role_changes, services
from howdah.store.prepared import Prepared
from howdah.store.store import Store
from howdah.store.tables import instances

_COLUMNS = (
    instances.c.id,
    instances.c.service,
    instances.c.port,
    instances.c.uid,
    instances.c.role,
    instances.c.joined,
    instances.c.waits,
    instances.c.ahead,
)
_OF = Prepared(
    select(*_COLUMNS)
    .where(instances.c.service == bindparam("service"))
    .order_by(instances.c.role != Role.PRIMARY, instances.c.id)
)
_ALL = Prepared(select(*_COLUMNS).order_by(instances.c.id))
_TOLD = {
    ChangeKind.FAILOVER: ActivityType.SERVICE_FAILOVER,
    ChangeKind.SWITCHOVER: ActivityType.SERVICE_SWITCHOVER_END,
    ChangeKind.ADOPTION: ActivityType.SERVICE_ADOPTION,
}


class StoredInstances:
    """The ``InstanceRegistry`` of the local engine."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, service: ServiceId) -> tuple[Instance, ...]:
        return tuple(_instance(row) for row in self._store.all(_OF, {"service": str(service.uuid)}))

    def all(self) -> tuple[Instance, ...]:
        return tuple(_instance(row) for row in self._store.all(_ALL))

    async def put(self, *instances: Instance) -> None:
        """Raises Conflict when a port or uid belongs to another instance, its service is gone, or has another
        primary."""

        def write(connection: Connection) -> None:
            for instance in instances:
                _put(connection, instance)

        try:
            await self._store.write(write)
        except IntegrityError as error:
            wanted = ", ".join(f"{one.id} with port {one.port} and uid {one.uid}" for one in instances)
            raise Conflict(f"there cannot be {wanted}: {error.orig}") from None

    async def change_roles(self, former: Instance, new: Instance, change: RoleChange) -> None:
        def write(connection: Connection) -> None:
            _put(connection, former)  # First: there is never more than one primary.
            _put(connection, new)
            role_changes.put(connection, change)
            _tell(connection, change)

        await self._store.write(write)

    async def complete(self, change: RoleChange) -> None:
        await self._store.write(lambda connection: role_changes.put(connection, change))

    def newest_change(self, service: ServiceId) -> RoleChange | None:
        return next(iter(role_changes.newest(self._store, service, 1)), None)

    def count_changes(self, service: ServiceId) -> int:
        return role_changes.count(self._store, service)

    async def remove(self, instance: InstanceId) -> None:
        statement = delete(instances).where(instances.c.id == str(instance.uuid))
        await self._store.write(lambda connection: connection.execute(statement), makes_room=True)


def remove_all(connection: Connection, service: ServiceId) -> None:
    connection.execute(delete(instances).where(instances.c.service == str(service.uuid)))


def _tell(connection: Connection, change: RoleChange) -> None:
    """Beside the record, which goes with the service: what happened to it outlives it."""
    if (stored := services.within(connection, change.service)) is not None:
        kind = _TOLD[change.kind]
        what = (
            f"{change.cause}; from {change.former} to {change.new} at LSN {change.position or 'unknown'} ({change.id})"
        )
        deed = Deed(kind, what, change.service)
        activities.add(connection, Activity(uuid4(), change.at, stored.service.organization, SYSTEM, deed))


def _put(connection: Connection, instance: Instance) -> None:
    values = {
        "service": str(instance.service.uuid),
        "port": instance.port,
        "uid": instance.uid,
        "role": instance.role,
        "joined": instance.joined,
        "waits": instance.waits,
        "ahead": instance.ahead,
    }
    statement = insert(instances).values(id=str(instance.id.uuid), **values)
    connection.execute(statement.on_conflict_do_update(index_elements=[instances.c.id], set_=values))


@lru_cache(maxsize=8192)
def _instance(row: tuple[Any, ...]) -> Instance:
    identifier, service, port, uid, role, *notes = row
    return Instance(InstanceId.parse(identifier), ServiceId.parse(service), port, uid, Role(role), *map(bool, notes))
