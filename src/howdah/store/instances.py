"""Stored instances of the local engine."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import IntegrityError

from howdah.domain.errors import Conflict
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance
from howdah.store.prepared import Prepared
from howdah.store.store import Store
from howdah.store.tables import instances


def _select() -> Select[*tuple[Any, ...]]:
    return select(instances.c.id, instances.c.service, instances.c.port, instances.c.uid)


_OF = Prepared(_select().where(instances.c.service == bindparam("service")).order_by(instances.c.id))
_ALL = Prepared(_select().order_by(instances.c.id))


class StoredInstances:
    """The ``InstanceRegistry`` of the local engine."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, service: ServiceId) -> tuple[Instance, ...]:
        return tuple(_instance(row) for row in self._store.all(_OF, {"service": str(service.uuid)}))

    def all(self) -> tuple[Instance, ...]:
        return tuple(_instance(row) for row in self._store.all(_ALL))

    async def put(self, instance: Instance) -> None:
        """Raises Conflict when its port or uid belongs to another instance, or its service is gone."""
        values = {"service": str(instance.service.uuid), "port": instance.port, "uid": instance.uid}
        statement = insert(instances).values(id=str(instance.id.uuid), **values)
        statement = statement.on_conflict_do_update(index_elements=[instances.c.id], set_=values)
        try:
            await self._store.write(lambda connection: connection.execute(statement))
        except IntegrityError as error:
            raise Conflict(
                f"{instance.id} cannot have port {instance.port} and uid {instance.uid}: {error.orig}"
            ) from None

    async def remove(self, instance: InstanceId) -> None:
        statement = delete(instances).where(instances.c.id == str(instance.uuid))
        await self._store.write(lambda connection: connection.execute(statement), makes_room=True)


def remove_all(connection: Connection, service: ServiceId) -> None:
    connection.execute(delete(instances).where(instances.c.service == str(service.uuid)))


def _instance(row: tuple[Any, ...]) -> Instance:
    return Instance(InstanceId(UUID(row[0])), ServiceId(UUID(row[1])), row[2], row[3])
