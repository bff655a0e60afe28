"""Stored services: desired state, and what was last seen of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, select

from howdah.domain.backups import RestoreSource
from howdah.domain.catalog import Size
from howdah.domain.ids import ServiceId, TimelineId
from howdah.domain.services import Endpoint, Service
from howdah.domain.states import HaType, PostgresVersion, ServiceState
from howdah.store.endpoints import decode_endpoints
from howdah.store.prepared import Prepared
from howdah.store.store import Store
from howdah.store.tables import hostnames, secrets, services
from howdah.store.tags import decode_tags
from howdah.store.times import from_ms, maybe_from_ms, maybe_from_us, to_ms

PASSWORD = "password"
"""The kind of the sealed secret that is read together with a service."""


@dataclass(frozen=True, slots=True)
class StoredService:
    """A service with what only the control plane needs to know. ``service.password`` is empty.

    restart, password_version: as in ``ServiceSpec``; restart_seen: which restart the engine has done, 0 at first.
    endpoint: where its primary was last seen; standbys: and the standbys that let clients in. renew_at: when the
    certificate is due.
    timeline, source, backup, switchover, accept_loss, follows, unconfirmed: as in ``ServiceSpec``. restored_at: since
    when it needs its source no more.
    """

    service: Service
    ca_certificates: str
    certificate: str
    renew_at: datetime
    restart: int
    restart_seen: int
    password_version: int
    endpoint: Endpoint | None
    timeline: TimelineId
    source: RestoreSource | None = None
    restored_at: datetime | None = None
    backup: int = 0
    switchover: int = 0
    accept_loss: int = 0
    follows: ServiceId | None = None
    standbys: tuple[Endpoint, ...] = ()
    unconfirmed: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A service, its state, the restart and the kind of high availability that are wanted, and where its primary and
    the standbys that let clients in were last seen: what its routes are made from. unconfirmed: as in
    ``ServiceSpec``."""

    service: ServiceId
    state: ServiceState
    restart: int
    endpoint: Endpoint | None
    ha_type: HaType = HaType.NONE
    standbys: tuple[Endpoint, ...] = ()
    unconfirmed: bool = False


_SERVICE = (
    services.c.id,
    services.c.organization,
    services.c.name,
    services.c.provider,
    services.c.region,
    services.c.size,
    services.c.vcpus,
    services.c.memory_gib,
    services.c.storage_gib,
    services.c.arch,
    services.c.postgres_version,
    services.c.ha_type,
    services.c.tags,
    services.c.is_primary,
    services.c.state,
    services.c.state_reason,
    services.c.created_at,
    hostnames.c.hostname,
    services.c.earliest_restore,
)
_MORE = (
    services.c.ca_certificates,
    services.c.certificate,
    services.c.certificate_renew_at,
    services.c.restart,
    services.c.restart_seen,
    services.c.password_version,
    services.c.host,
    services.c.port,
    services.c.timeline,
    services.c.source_timeline,
    services.c.restore_target,
    services.c.restored_at,
    services.c.backup,
    services.c.switchover,
    services.c.accept_loss,
    services.c.follows,
    services.c.standbys,
    services.c.unconfirmed,
)
_NAMED = services.join(hostnames, (hostnames.c.service == services.c.id) & hostnames.c.expires_at.is_(None))
_WITH_PASSWORD = _NAMED.outerjoin(secrets, (secrets.c.service == services.c.id) & (secrets.c.kind == PASSWORD))
_ID = services.c.id == bindparam("id")
_STORED = select(*_SERVICE, *_MORE).select_from(_NAMED).where(_ID)

_OF_TIMELINE = select(*_SERVICE).select_from(_NAMED).where(services.c.timeline == bindparam("timeline"))

_VISIBLE = Prepared(
    select(*_SERVICE, secrets.c.sealed)
    .select_from(_WITH_PASSWORD)
    .where(_ID, services.c.organization == bindparam("organization"))
)
_LIST = Prepared(
    select(*_SERVICE)
    .select_from(_NAMED)
    .where(services.c.organization == bindparam("organization"))
    .order_by(services.c.number)
)
_ONE = Prepared(_STORED)
_ALL_IDS = Prepared(select(services.c.id).order_by(services.c.number))
_ALL_TIMELINES = Prepared(select(services.c.timeline))
_DUE = Prepared(
    select(services.c.id).where(
        (services.c.certificate_renew_at <= bindparam("now")) | (services.c.certificate_renew_at > bindparam("latest"))
    )
)
_READERS = Prepared(
    select(services.c.id).where(
        services.c.source_timeline == bindparam("timeline"),
        services.c.restored_at.is_(None),
        services.c.state != ServiceState.DELETING,
    )
)
_FOLLOWERS = (
    select(services.c.id)
    .where(services.c.follows == bindparam("service"), services.c.state != ServiceState.DELETING)
    .order_by(services.c.number)
)
_ALL_FOLLOWERS = Prepared(_FOLLOWERS)
_PLACE = Prepared(
    select(
        services.c.state,
        services.c.restart,
        services.c.host,
        services.c.port,
        services.c.ha_type,
        services.c.standbys,
        services.c.unconfirmed,
    ).where(_ID)
)


def visible(store: Store, organization: UUID, service: ServiceId) -> tuple[Service, bytes] | None:
    """A service of that organization and its sealed password."""
    row = store.one(_VISIBLE, {"id": str(service.uuid), "organization": str(organization)})
    return None if row is None else (_service(row), row[-1])


def of(store: Store, organization: UUID) -> list[Service]:
    """The services of an organization without their passwords, oldest first."""
    return [_service(row) for row in store.all(_LIST, {"organization": str(organization)})]


def find(store: Store, service: ServiceId) -> StoredService | None:
    row = store.one(_ONE, {"id": str(service.uuid)})
    return None if row is None else _stored(row)


def within(connection: Connection, service: ServiceId) -> StoredService | None:
    """The same inside a transaction."""
    row = connection.execute(_STORED, {"id": str(service.uuid)}).one_or_none()
    return None if row is None else _stored(tuple(row))


def ids(store: Store) -> list[ServiceId]:
    return [ServiceId(UUID(row[0])) for row in store.all(_ALL_IDS)]


def timelines(store: Store) -> list[TimelineId]:
    return [_timeline(row[0]) for row in store.all(_ALL_TIMELINES)]


def due_for_renewal(store: Store, now: datetime, *, latest: datetime) -> list[ServiceId]:
    """Services whose certificate was to be replaced by now, or only after ``latest``."""
    return [ServiceId(UUID(row[0])) for row in store.all(_DUE, {"now": to_ms(now), "latest": to_ms(latest)})]


def place(store: Store, service: ServiceId) -> Place | None:
    row = store.one(_PLACE, {"id": str(service.uuid)})
    if row is None:
        return None
    state, restart, host, port, ha_type, standbys, unconfirmed = row
    endpoint, others = _endpoint(host, port), decode_endpoints(standbys)
    return Place(service, ServiceState(state), restart, endpoint, HaType(ha_type), others, bool(unconfirmed))


def of_timeline(connection: Connection, timeline: TimelineId) -> Service | None:
    """The service whose WAL that is; inside a transaction."""
    row = connection.execute(_OF_TIMELINE, {"timeline": str(timeline.uuid)}).one_or_none()
    return None if row is None else _service(tuple(row))


def followers(store: Store, service: ServiceId) -> list[ServiceId]:
    """Its read replicas, oldest first."""
    return [ServiceId(UUID(row[0])) for row in store.all(_ALL_FOLLOWERS, {"service": str(service.uuid)})]


def followers_within(connection: Connection, service: ServiceId) -> list[ServiceId]:
    """The same inside a transaction."""
    return [ServiceId(UUID(row[0])) for row in connection.execute(_FOLLOWERS, {"service": str(service.uuid)})]


def readers(store: Store, timeline: TimelineId) -> list[ServiceId]:
    """Services whose restoration from this timeline is not over."""
    return [ServiceId(UUID(row[0])) for row in store.all(_READERS, {"timeline": str(timeline.uuid)})]


@lru_cache(maxsize=4096)
def _made(row: tuple[Any, ...]) -> Service:
    """Remembered: to make one takes longer than to read its row."""
    return Service(
        id=ServiceId(UUID(row[0])),
        organization=UUID(row[1]),
        name=row[2],
        provider=row[3],
        region=row[4],
        size=Size(row[5], row[3], row[6], row[7], row[8], row[9]),
        storage_gib=row[8],
        postgres_version=PostgresVersion(row[10]),
        ha_type=HaType(row[11]),
        tags=decode_tags(row[12]),
        is_primary=bool(row[13]),
        state=ServiceState(row[14]),
        state_reason=row[15],
        created_at=from_ms(row[16]),
        hostname=row[17],
        password="",
        earliest_restore=maybe_from_us(row[18]),
    )


def _service(row: tuple[Any, ...]) -> Service:
    return _made(row[: len(_SERVICE)])


def _stored(row: tuple[Any, ...]) -> StoredService:
    ca_certificates, certificate, renew_at, restart, restart_seen, password_version, *more = row[len(_SERVICE) :]
    host, port, timeline, source_timeline, target, restored_at, backup, *servers = more
    switchover, accept_loss, follows, standbys, unconfirmed = servers
    return StoredService(
        service=_service(row),
        ca_certificates=ca_certificates,
        certificate=certificate,
        renew_at=from_ms(renew_at),
        restart=restart,
        restart_seen=restart_seen,
        password_version=password_version,
        endpoint=_endpoint(host, port),
        timeline=_timeline(timeline),
        source=None if source_timeline is None else RestoreSource(_timeline(source_timeline), maybe_from_us(target)),
        restored_at=maybe_from_ms(restored_at),
        backup=backup,
        switchover=switchover,
        accept_loss=accept_loss,
        follows=None if follows is None else ServiceId(UUID(follows)),
        standbys=decode_endpoints(standbys),
        unconfirmed=bool(unconfirmed),
    )


def _timeline(text: str) -> TimelineId:
    return TimelineId(UUID(text))


def _endpoint(host: str | None, port: int | None) -> Endpoint | None:
    return None if host is None or port is None else Endpoint(host, port)
