"""Commands on backups, and what is known of them. Each stores what is wanted and returns; the reconciler does it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from howdah.control.acts import BY_SYSTEM, Act
from howdah.control.clock import Clock
from howdah.control.services import Services
from howdah.control.vault import Kind, Vault
from howdah.domain.activities import ActivityType, Deed
from howdah.domain.backups import ArchiveStatus, BaseBackup, RestoreSource
from howdah.domain.drills import Drilled
from howdah.domain.errors import BadRequest, NotFound, Unavailable
from howdah.domain.health import Drilling, Health, Known, judge
from howdah.domain.ids import ServiceId
from howdah.domain.moments import text
from howdah.domain.names import check_name
from howdah.domain.services import Service
from howdah.domain.settings import BackupSettings
from howdah.domain.states import ServiceState
from howdah.domain.tags import Tag, check_tags
from howdah.engines.protocol import Engine
from howdah.store import secrets, service_changes
from howdah.store.services import StoredService
from howdah.store.store import Store

_LOOKED_AT_AT_ONCE = 8
"""Archives, when the health of all services is asked for."""


class Backups:
    """The backups of organizations' services. A service of another organization is NotFound everywhere."""

    def __init__(
        self, store: Store, vault: Vault, clock: Clock, engine: Engine, owner: Services, settings: BackupSettings
    ) -> None:
        self._settings = settings
        self._store = store
        self._vault = vault
        self._clock = clock
        self._engine = engine
        self._services = owner

    async def restore(
        self,
        organization: UUID,
        id: ServiceId,
        *,
        name: str,
        target: datetime | None,
        tags: Sequence[Tag] | None = None,
        by: Act = BY_SYSTEM,
    ) -> Service:
        """A new service with what ``id`` held at ``target`` (UTC; None: all that it has committed until now).

        Raises BadRequest naming the field or the window, NotFound, Conflict beyond the quota, Unavailable.
        """
        checked = check_name(name)
        given = None if tags is None else check_tags(tags)
        await self._check(self._alive(organization, id), target)
        with self._store.snapshot():
            stored, sealed = self._alive(organization, id), secrets.of(self._store, id)
        password, verifier = (
            self._vault.open(id, kind, sealed[kind]) for kind in (Kind.PASSWORD, Kind.PASSWORD_VERIFIER)
        )
        source = stored.service
        state = ServiceState.RESTORING_BACKUP
        new = self._services.making.like(source, name=checked, tags=given, state=state, password=password)
        moment = "the latest moment" if target is None else text(target)
        deed = Deed(ActivityType.SERVICE_RESTORE_BACKUP, f"'{checked}' from '{source.name}' ({id}) at {moment}", new.id)
        return await self._services.add(new, verifier, RestoreSource(stored.timeline, target), by=by, deed=deed)

    async def list(self, organization: UUID, id: ServiceId) -> list[BaseBackup]:
        """Those that count, newest first. Raises NotFound, Unavailable."""
        found = await self._engine.backups(self._services.stored(organization, id).timeline)
        return sorted(found, key=lambda base: base.name, reverse=True)

    async def status(self, organization: UUID, id: ServiceId) -> ArchiveStatus:
        """Raises NotFound, Unavailable."""
        return await self._engine.archive_status(self._services.stored(organization, id).timeline)

    async def health(self, organization: UUID, id: ServiceId) -> Health:
        """Raises NotFound."""
        known = await self.known(organization, id)
        return self.judge(self._services.stored(organization, id).service, known)

    async def health_of_all(self, organization: UUID) -> list[tuple[Service, Health]]:
        """Of all its services, oldest first."""
        at_once = asyncio.Semaphore(_LOOKED_AT_AT_ONCE)

        async def judged(service: Service) -> tuple[Service, Health] | None:
            async with at_once:
                with suppress(NotFound):  # One that was deleted meanwhile.
                    return service, await self.health(organization, service.id)
            return None

        found = await asyncio.gather(*map(judged, self._services.list(organization)))
        return [one for one in found if one is not None]

    async def known(self, organization: UUID, id: ServiceId) -> Known:
        """What the archive says of a service; nothing of a read replica, which has what its primary has. Raises
        NotFound."""
        if not self._settings.enabled or self._services.stored(organization, id).follows is not None:
            return Known()
        try:
            archive, drilled = await self.status(organization, id), await self.drills(organization, id)
            return Known(archive, drilled.results, under_way=drilled.under_way, next_drill_at=drilled.next_at)
        except Unavailable as error:
            return Known(unknown=str(error))
        except BadRequest as error:
            return Known(damage=str(error))

    def judge(self, service: Service, known: Known) -> Health:
        """How well a service is, by what was ``known`` of its backups."""
        interval = timedelta(hours=self._settings.interval_hours)
        drilled = Drilling(service.created_at, timedelta(days=self._settings.drill_interval_days))
        state, reason, now = service.state, service.state_reason, self._clock()
        return judge(state, reason, known, interval=interval, drilled=drilled, now=now)

    def under_way(self, organization: UUID, id: ServiceId) -> datetime | None:
        """When the base backup that is being taken began; None while none is. Raises NotFound."""
        return self._engine.backup_began(self._services.stored(organization, id).timeline)

    async def request(self, organization: UUID, id: ServiceId, by: Act = BY_SYSTEM) -> int:
        """Have a base backup taken, beside those of the schedule; its number. Raises NotFound, Unavailable."""
        taken = await self.list(organization, id)

        def write(connection: Connection) -> int:
            stored = self._services.commanded(connection, organization, id)
            # One that is not completed yet serves everybody who asks meanwhile: what they have by then is in it.
            number = stored.backup
            if number <= max((base.request for base in taken), default=0):
                number += 1
                service_changes.set_backup(connection, id, number)
                deed = Deed(ActivityType.BACKUP_CREATE, f"request {number}", id)
                by.note(connection, organization, self._clock(), deed)
            by.keep(connection, number)
            return number

        number = await self._store.write(write)
        self._services.wake(id)
        return number

    async def drill(self, organization: UUID, id: ServiceId, by: Act = BY_SYSTEM) -> datetime:
        """Begin a drill, see engines/protocol.py; when it began. Raises NotFound, BadRequest, Unavailable."""
        timeline = self._alive(organization, id).timeline
        before = (await self._engine.drills(timeline)).under_way
        began = await self._engine.drill(timeline)

        def write(connection: Connection) -> None:
            # After it has begun: it lives in this process only, so that whoever asks again after a kill begins one.
            if before is None or before.started_at != began:
                deed = Deed(ActivityType.DRILL_CREATE, f"begun at {text(began)}", id)
                by.note(connection, organization, self._clock(), deed)
            by.keep(connection, began)

        await self._store.write(write)
        return began

    async def drills(self, organization: UUID, id: ServiceId) -> Drilled:
        """Raises NotFound, Unavailable."""
        return await self._engine.drills(self._services.stored(organization, id).timeline)

    def source(self, organization: UUID, id: ServiceId) -> RestoreSource | None:
        """What a service was restored from; None for one that began empty. Raises NotFound."""
        return self._services.stored(organization, id).source

    def is_restored(self, organization: UUID, id: ServiceId) -> bool:
        """Whether its restoration is over. Raises NotFound."""
        return self._services.stored(organization, id).restored_at is not None

    def _alive(self, organization: UUID, id: ServiceId) -> StoredService:
        """One that is being deleted is as good as gone, and its backups go with it."""
        stored = self._services.stored(organization, id)
        if stored.service.state is ServiceState.DELETING:
            raise NotFound(f"there is no Postgres service {id}")
        return stored

    async def _check(self, source: StoredService, target: datetime | None) -> None:
        now = self._clock()
        earliest = source.service.earliest_restore
        if target is not None and earliest is not None and not earliest <= target <= now:
            raise BadRequest(f"Restore target must be between {text(earliest)} and {text(now)}")
        if target is not None and target > now:
            raise BadRequest(f"restoreTarget {text(target)} lies in the future")
        await self._engine.restorable(source.timeline, target)
