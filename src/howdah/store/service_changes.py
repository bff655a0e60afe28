"""Changes of stored services, each inside the transaction of whoever makes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, update

from howdah.domain.catalog import Size
from howdah.domain.ids import ServiceId
from howdah.domain.services import Endpoint
from howdah.domain.states import HaType, ServiceState
from howdah.domain.tags import Tag
from howdah.store.endpoints import encode_endpoints
from howdah.store.services import StoredService
from howdah.store.tables import services
from howdah.store.tags import encode_tags
from howdah.store.times import maybe_to_us, to_ms


def add(connection: Connection, stored: StoredService) -> None:
    """Without its hostname and secrets."""
    service = stored.service
    connection.execute(
        insert(services).values(
            id=str(service.id.uuid),
            organization=str(service.organization),
            name=service.name,
            provider=service.provider,
            region=service.region,
            size=service.size.name,
            vcpus=service.size.vcpus,
            memory_gib=service.size.memory_gib,
            storage_gib=service.storage_gib,
            arch=service.size.arch,
            postgres_version=service.postgres_version,
            ha_type=service.ha_type,
            tags=encode_tags(service.tags),
            is_primary=service.is_primary,
            state=service.state,
            state_reason=service.state_reason,
            created_at=to_ms(service.created_at),
            ca_certificates=stored.ca_certificates,
            certificate=stored.certificate,
            certificate_renew_at=to_ms(stored.renew_at),
            restart=stored.restart,
            restart_seen=stored.restart_seen,
            password_version=stored.password_version,
            timeline=str(stored.timeline.uuid),
            source_timeline=None if stored.source is None else str(stored.source.timeline.uuid),
            restore_target=None if stored.source is None else maybe_to_us(stored.source.target),
            backup=stored.backup,
            follows=None if stored.follows is None else str(stored.follows.uuid),
            standbys=encode_endpoints(stored.standbys),
        )
    )


def set_name(connection: Connection, service: ServiceId, name: str) -> None:
    _update(connection, service, name=name)


def set_tags(connection: Connection, service: ServiceId, tags: Sequence[Tag]) -> None:
    _update(connection, service, tags=encode_tags(tags))


def set_certificate(connection: Connection, service: ServiceId, certificate: str, renew_at: datetime) -> None:
    _update(connection, service, certificate=certificate, certificate_renew_at=to_ms(renew_at))


def set_password_version(connection: Connection, service: ServiceId, version: int) -> None:
    _update(connection, service, password_version=version)


def set_restart(connection: Connection, service: ServiceId, restart: int) -> None:
    _update(connection, service, restart=restart)


def set_backup(connection: Connection, service: ServiceId, backup: int) -> None:
    _update(connection, service, backup=backup)


def set_ha_type(connection: Connection, service: ServiceId, ha_type: HaType) -> None:
    _update(connection, service, ha_type=ha_type)


def set_size(connection: Connection, service: ServiceId, size: Size) -> None:
    _update(
        connection,
        service,
        size=size.name,
        vcpus=size.vcpus,
        memory_gib=size.memory_gib,
        storage_gib=size.storage_gib,
        arch=size.arch,
    )


def set_switchover(connection: Connection, service: ServiceId, number: int) -> None:
    _update(connection, service, switchover=number)


def set_accept_loss(connection: Connection, service: ServiceId, number: int) -> None:
    _update(connection, service, accept_loss=number)


def set_independent(connection: Connection, service: ServiceId) -> None:
    """A read replica follows nobody any more."""
    _update(connection, service, follows=None, is_primary=True)


def set_confirmed(connection: Connection, service: ServiceId) -> None:
    """What runs was compared with the store, which holds from now on."""
    _update(connection, service, unconfirmed=False)


def set_restored(connection: Connection, service: ServiceId, at: datetime) -> None:
    _update(connection, service, restored_at=to_ms(at))


def set_state(connection: Connection, service: ServiceId, state: ServiceState, reason: str | None = None) -> None:
    _update(connection, service, state=state, state_reason=reason)


def set_seen(
    connection: Connection,
    service: ServiceId,
    *,
    endpoint: Endpoint | None,
    restart_seen: int,
    earliest_restore: datetime | None,
    standbys: Sequence[Endpoint],
) -> None:
    _update(
        connection,
        service,
        host=None if endpoint is None else endpoint.host,
        port=None if endpoint is None else endpoint.port,
        restart_seen=restart_seen,
        earliest_restore=maybe_to_us(earliest_restore),
        standbys=encode_endpoints(standbys),
    )


def remove(connection: Connection, service: ServiceId) -> None:
    """With its hostnames and secrets."""
    connection.execute(delete(services).where(services.c.id == str(service.uuid)))


def _update(connection: Connection, service: ServiceId, **values: Any) -> None:
    connection.execute(update(services).where(services.c.id == str(service.uuid)).values(**values))
