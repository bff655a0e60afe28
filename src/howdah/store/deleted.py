"""Stored facts of deleted services whose backups are kept."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, delete, insert, select, update

from howdah.domain.catalog import Size
from howdah.domain.deleted import DeletedService
from howdah.domain.ids import ServiceId, TimelineId
from howdah.domain.states import PostgresVersion
from howdah.store.prepared import Prepared
from howdah.store.store import Store
from howdah.store.tables import deleted_services as table
from howdah.store.tags import decode_tags, encode_tags
from howdah.store.times import from_ms, maybe_from_us, maybe_to_us, to_ms


def _select() -> Select[*tuple[Any, ...]]:
    return select(*table.c)


_ALL = Prepared(_select().order_by(table.c.deleted_at, table.c.timeline))
_OF = Prepared(
    _select().where(table.c.organization == bindparam("organization")).order_by(table.c.deleted_at, table.c.timeline)
)
_ONE = _select().where(table.c.service == bindparam("service"))
_FIND = Prepared(_ONE)


def everyone(store: Store) -> list[DeletedService]:
    """Of all organizations, those that were deleted first first."""
    return [_deleted(row) for row in store.all(_ALL)]


def of(store: Store, organization: UUID) -> list[DeletedService]:
    """Of one organization, those that were deleted first first."""
    return [_deleted(row) for row in store.all(_OF, {"organization": str(organization)})]


def find(store: Store, service: ServiceId) -> DeletedService | None:
    row = store.one(_FIND, {"service": str(service.uuid)})
    return None if row is None else _deleted(row)


def within(connection: Connection, service: ServiceId) -> DeletedService | None:
    """The same inside a transaction."""
    row = connection.execute(_ONE, {"service": str(service.uuid)}).one_or_none()
    return None if row is None else _deleted(tuple(row))


def add(connection: Connection, deleted: DeletedService) -> None:
    connection.execute(
        insert(table).values(
            timeline=str(deleted.timeline.uuid),
            service=str(deleted.id.uuid),
            organization=str(deleted.organization),
            name=deleted.name,
            provider=deleted.provider,
            region=deleted.region,
            size=deleted.size.name,
            vcpus=deleted.size.vcpus,
            memory_gib=deleted.size.memory_gib,
            storage_gib=deleted.storage_gib,
            arch=deleted.size.arch,
            postgres_version=deleted.postgres_version,
            tags=encode_tags(deleted.tags),
            created_at=to_ms(deleted.created_at),
            deleted_at=to_ms(deleted.deleted_at),
            keep_until=to_ms(deleted.keep_until),
            earliest_restore=maybe_to_us(deleted.earliest_restore),
            problem=deleted.problem,
        )
    )


def set_earliest(connection: Connection, timeline: TimelineId, earliest: datetime) -> None:
    _update(connection, timeline, earliest_restore=maybe_to_us(earliest))


def set_keep_until(connection: Connection, timeline: TimelineId, until: datetime) -> None:
    _update(connection, timeline, keep_until=to_ms(until))


def remove(connection: Connection, timeline: TimelineId) -> None:
    connection.execute(delete(table).where(table.c.timeline == str(timeline.uuid)))


def _update(connection: Connection, timeline: TimelineId, **values: Any) -> None:
    connection.execute(update(table).where(table.c.timeline == str(timeline.uuid)).values(**values))


def _deleted(row: tuple[Any, ...]) -> DeletedService:
    timeline, service, organization, name, provider, region, *more = row
    size, vcpus, memory_gib, storage_gib, arch, postgres_version, tags, *rest = more
    created_at, deleted_at, keep_until, earliest_restore, problem = rest
    return DeletedService(
        id=ServiceId(UUID(service)),
        timeline=TimelineId(UUID(timeline)),
        organization=UUID(organization),
        name=name,
        provider=provider,
        region=region,
        size=Size(size, provider, vcpus, memory_gib, storage_gib, arch),
        storage_gib=storage_gib,
        postgres_version=PostgresVersion(postgres_version),
        tags=decode_tags(tags),
        created_at=from_ms(created_at),
        deleted_at=from_ms(deleted_at),
        keep_until=from_ms(keep_until),
        earliest_restore=maybe_from_us(earliest_restore),
        problem=problem,
    )
