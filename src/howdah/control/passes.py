"""One pass for one service: what is wanted goes to the engine, what was seen comes into the store and the routes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection

from howdah.control.clock import utc_now
from howdah.control.confirmation import after_its_source, note_confirmed, relatives
from howdah.control.effects import Effects
from howdah.control.publisher import Opening, Publisher
from howdah.control.removals import Removals
from howdah.control.states import derive, has_run, restart_seen
from howdah.control.vault import Kind, Vault
from howdah.domain.errors import Unavailable
from howdah.domain.ids import ServiceId
from howdah.domain.services import Endpoint, Service, ServiceSecrets, ServiceSpec, ServiceStatus
from howdah.domain.states import ServiceState
from howdah.domain.tags import retention_days
from howdah.engines.protocol import Engine
from howdah.store import hostnames, organizations, secrets, service_changes, services
from howdah.store.services import StoredService
from howdah.store.store import Store

LISTENING_SECONDS = 1.0
UNSETTLED = 0.0

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    state: ServiceState
    reason: str | None
    endpoint: Endpoint | None
    restart: int
    earliest_restore: datetime | None
    standbys: tuple[Endpoint, ...]


class Passes:
    """``wake``: has another service looked at."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        vault: Vault,
        publisher: Publisher,
        effects: Effects,
        removals: Removals,
    ) -> None:
        self._engine = engine
        self._store = store
        self._vault = vault
        self._publisher = publisher
        self._effects = effects
        self._removals = removals
        self._happened: set[ServiceId] = set()
        self._looked_at: set[ServiceId] = set()
        self.wake: Callable[[ServiceId], None] = lambda _: None

    def services(self) -> list[ServiceId]:
        return services.ids(self._store)

    def happened(self, service: ServiceId) -> None:
        """Something happened to it outside a pass. Its route is held before the next pass starts a server again, since
        one that is only starting refuses clients instead of letting them wait."""
        self._happened.add(service)

    async def run(self, service: ServiceId) -> float | None:
        """One pass. Returns the seconds after which another one makes sense, None when there is nothing left to do."""
        with self._store.snapshot():
            stored = services.find(self._store, service)
            names = hostnames.of(self._store, service)
            sealed = secrets.of(self._store, service)
        if stored is None:
            self._forget(service)
            return None
        first, happened = service not in self._looked_at, service in self._happened
        self._looked_at.add(service)
        self._happened.discard(service)
        if happened or (first and await _died_unseen(stored)):
            self._publisher.doubt(service)
        if happened or first:
            self._publisher.leave_out(service, await _silent(stored.standbys))
        if stored.service.state is ServiceState.DELETING:
            await self._publish_if_possible(service)
            return await self._remove(stored, names)
        await self._publisher.publish(service)
        spec = self._spec(stored, names)
        status = await self._engine.reconcile(spec, self._open(stored, sealed))
        if status.confirmed:
            status = after_its_source(self._store, stored, status)
        if status.moving:
            self._happened.add(service)
        if status.ready and service not in self._happened:
            self._publisher.trust(service)
        await self._note(spec, status)
        self._publisher.leave_out(service, ())
        await self._publisher.publish(service)
        self._effects.tell(service, status)
        if status.confirmed:
            for other in relatives(self._store, stored):
                self.wake(other)
            return UNSETTLED
        if status.retry_after is not None:
            return status.retry_after
        return None if status.settled else UNSETTLED

    async def _publish_if_possible(self, service: ServiceId) -> None:
        """A route table that a full disk keeps as it was does not keep a service from being deleted, which makes room.
        Nobody else gets its port meanwhile: a new service, too, begins with a new table."""
        try:
            await self._publisher.publish(service)
        except Unavailable as error:
            log.warning("a service is deleted before its route", service=service.ubid, reason=str(error))

    async def _remove(self, stored: StoredService, names: tuple[str, ...]) -> float | None:
        again_after = await self._removals.step(stored, self._spec(stored, names))
        if again_after is None:
            self._forget(stored.service.id)
            if stored.follows is not None:
                self.wake(stored.follows)  # Which keeps WAL for it no more.
            await self._store.forget()
        return again_after

    def _spec(self, stored: StoredService, names: tuple[str, ...]) -> ServiceSpec:
        service = stored.service
        return ServiceSpec(
            id=service.id,
            postgres_version=service.postgres_version,
            size=service.size,
            ha_type=service.ha_type,
            hostnames=names,
            certificate=stored.certificate,
            restart=stored.restart,
            password_version=stored.password_version,
            timeline=stored.timeline,
            source=stored.source if stored.restored_at is None else None,
            backup=stored.backup,
            retention_days=self._retention_days(service),
            ran=has_run(stored),
            switchover=stored.switchover,
            accept_loss=stored.accept_loss,
            follows=stored.follows,
            followers=tuple(services.followers(self._store, service.id)),
            unconfirmed=stored.unconfirmed,
        )

    def _retention_days(self, service: Service) -> int | None:
        """What its tag says, else its organization; None: neither does."""
        if (days := retention_days(service.tags)) is not None:
            return days
        organization = organizations.find(self._store, service.organization)
        return None if organization is None else organization.retention_days

    def _forget(self, service: ServiceId) -> None:
        """It is gone, though the engine may still tell of what happened to it before."""
        self._happened.discard(service)
        self._looked_at.discard(service)
        self._publisher.trust(service)
        self._publisher.leave_out(service, ())

    def _open(self, stored: StoredService, sealed: dict[str, bytes]) -> ServiceSecrets:
        service = stored.service.id
        return ServiceSecrets(
            password_verifier=self._vault.open(service, Kind.PASSWORD_VERIFIER, sealed[Kind.PASSWORD_VERIFIER]),
            certificate_key=self._vault.open(service, Kind.CERTIFICATE_KEY, sealed[Kind.CERTIFICATE_KEY]),
            replication_password=self._replication_password(stored, sealed),
        )

    def _replication_password(self, stored: StoredService, sealed: dict[str, bytes]) -> str:
        """Its own, or the one of the service that it follows; nothing for one that never had standbys."""
        owner = stored.follows or stored.service.id
        there = sealed if stored.follows is None else secrets.of(self._store, owner)
        found = there.get(Kind.REPLICATION_PASSWORD)
        return "" if found is None else self._vault.open(owner, Kind.REPLICATION_PASSWORD, found)

    async def _note(self, spec: ServiceSpec, status: ServiceStatus) -> None:
        """Stores what was seen when it is something new. A route opens before its service is stored as running, and
        is held right after it is stored as anything else."""
        stored = services.find(self._store, spec.id)
        if stored is None:
            return
        seen = _seen(stored, spec, status)
        if seen == _known(stored) and not status.confirmed:
            return
        opening = None
        if seen.state is ServiceState.RUNNING and seen.endpoint is not None:
            opening = Opening(spec.id, seen.endpoint, stored.restart)
            await self._publisher.open(opening)
        try:
            await self._store.write(lambda connection: _write(connection, spec, status, utc_now()))
        finally:
            if opening is not None:
                self._publisher.close(opening)


async def _died_unseen(stored: StoredService) -> bool:
    """Whether a service that ran when the last control plane ended is found dead by the first pass of this one."""
    endpoint = stored.endpoint
    return stored.service.state is ServiceState.RUNNING and endpoint is not None and not await _listens(endpoint)


async def _silent(standbys: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Those that have died. One is started again by the next pass, perhaps, and refuses clients while it starts."""
    listening = await asyncio.gather(*(_listens(standby) for standby in standbys))
    return tuple(standby for standby, listens in zip(standbys, listening, strict=True) if not listens)


async def _listens(endpoint: Endpoint) -> bool:
    try:
        async with asyncio.timeout(LISTENING_SECONDS):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    except TimeoutError:
        return True
    except OSError:
        return False
    writer.close()
    return True


def _seen(stored: StoredService, spec: ServiceSpec, status: ServiceStatus) -> _Seen:
    state, reason = derive(stored, spec, status)
    earliest = status.earliest_restore or stored.service.earliest_restore
    return _Seen(
        state=state,
        reason=reason,
        endpoint=status.primary or stored.endpoint,
        restart=restart_seen(stored, spec, status),
        earliest_restore=earliest,
        standbys=status.standbys if status.confirmed or not spec.unconfirmed else stored.standbys,
    )


def _known(stored: StoredService) -> _Seen:
    service = stored.service
    return _Seen(
        state=service.state,
        reason=service.state_reason,
        endpoint=stored.endpoint,
        restart=stored.restart_seen,
        earliest_restore=service.earliest_restore,
        standbys=stored.standbys,
    )


def _write(connection: Connection, spec: ServiceSpec, status: ServiceStatus, now: datetime) -> None:
    """From what is stored now: a command may have come since the pass began."""
    stored = services.within(connection, spec.id)
    if stored is None or stored.service.state is ServiceState.DELETING:
        return
    seen = _seen(stored, spec, status)
    service_changes.set_state(connection, spec.id, seen.state, seen.reason)
    if status.confirmed:
        note_confirmed(connection, stored, status, now)
    if status.ready and stored.accept_loss:
        service_changes.set_accept_loss(connection, spec.id, 0)  # It was for what is over.
    if status.ready and stored.source is not None and stored.restored_at is None:
        service_changes.set_restored(connection, spec.id, now)
    service_changes.set_seen(
        connection,
        spec.id,
        endpoint=seen.endpoint,
        restart_seen=seen.restart,
        earliest_restore=seen.earliest_restore,
        standbys=seen.standbys,
    )
