"""Deleted services whose backups are kept: shown, restored into new ones, and ended when their time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import Connection

from howdah.control.acts import BY_SYSTEM, Act
from howdah.control.clock import Clock
from howdah.control.services import Services
from howdah.domain.activities import ActivityType, Deed, described
from howdah.domain.backups import RestoreSource
from howdah.domain.deleted import DeletedService
from howdah.domain.errors import BadRequest, HowdahError, NotFound, Unavailable
from howdah.domain.ids import ServiceId
from howdah.domain.moments import text
from howdah.domain.names import check_name
from howdah.domain.services import Service
from howdah.domain.settings import BackupSettings
from howdah.domain.states import ServiceState
from howdah.domain.tags import Tag, check_tags
from howdah.engines.protocol import Engine, Removal
from howdah.security.scram import verifier
from howdah.store import deleted, services
from howdah.store.store import Store

SWEEP_SECONDS = 60.0

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class DeletedServices:
    """Those of another organization, and those whose time is over, are NotFound everywhere."""

    def __init__(self, store: Store, clock: Clock, engine: Engine, owner: Services, settings: BackupSettings) -> None:
        self._store = store
        self._clock = clock
        self._engine = engine
        self._services = owner
        self._enabled = settings.enabled
        self._woken = asyncio.Event()

    # -- commands

    def list(self, organization: UUID) -> list[DeletedService]:
        """Those that can be restored, the one that was deleted first first."""
        now = self._clock()
        return [one for one in deleted.of(self._store, organization) if one.keep_until > now]

    def get(self, organization: UUID, id: ServiceId) -> DeletedService:
        """Raises NotFound."""
        return self._owned(deleted.find(self._store, id), organization, id)

    async def stored_bytes(self, one: DeletedService) -> int | None:
        """What the archive holds of it; None while that cannot be asked."""
        with suppress(BadRequest, Unavailable):
            return (await self._engine.archive_status(one.timeline)).stored_bytes
        return None

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
        """A new service with what ``id`` held at ``target`` (UTC; None: at its end), and a new password.

        Raises BadRequest naming the field or the window, NotFound, Unavailable.
        """
        checked = check_name(name)
        given = None if tags is None else check_tags(tags)
        source = self.get(organization, id)
        await self._check(source, target)
        state = ServiceState.RESTORING_BACKUP
        new = self._services.making.like(source, name=checked, tags=given, state=state)

        def still_kept(connection: Connection) -> None:
            self._owned(deleted.within(connection, id), organization, id)

        password_verifier = await asyncio.to_thread(verifier, new.password)
        deed = Deed(ActivityType.SERVICE_RESTORE_BACKUP, f"{described(new)}, from {id}, which was deleted", new.id)
        return await self._services.add(
            new, password_verifier, RestoreSource(source.timeline, target), by=by, deed=deed, condition=still_kept
        )

    async def purge(self, organization: UUID, id: ServiceId, by: Act = BY_SYSTEM) -> None:
        """End the time of its backups now; they go as soon as nothing is being made from them.

        Raises NotFound, Unavailable.
        """
        if not self._enabled:
            raise Unavailable("backups are off on this server (backup.archive)")

        def write(connection: Connection) -> None:
            one = self._owned(deleted.within(connection, id), organization, id)
            deleted.set_keep_until(connection, one.timeline, self._clock())
            deed = Deed(ActivityType.BACKUPS_PURGE, f"the backups of '{one.name}', which was deleted", id)
            by.note(connection, organization, self._clock(), deed)

        await self._store.write(write, makes_room=True)
        self.look_again()

    # -- its loop

    def look_again(self) -> None:
        """There is something to do."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._woken.clear()
            try:
                await self.sweep()
            except HowdahError as error:
                log.error("deleted services could not be looked after", reason=str(error))
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def sweep(self) -> None:
        """What is to be done now with each. Nothing while backups are off: the archive stays as it is then."""
        for one in deleted.everyone(self._store) if self._enabled else ():
            try:
                await (self._end(one) if one.keep_until <= self._clock() else self._complete(one))
            except (HowdahError, OSError) as error:
                log.warning("the backups of a deleted service wait", service=one.id.ubid, reason=str(error))

    async def _complete(self, one: DeletedService) -> None:
        """Bring to the archive what was late when its server ended."""
        if one.earliest_restore is not None or await self._engine.keep_backups(one.timeline) is Removal.STILL_THERE:
            return
        window = (await self._engine.archive_status(one.timeline)).window
        if window is None:
            log.warning("nothing of a deleted service can be restored", service=one.id.ubid)
            await self._store.write(
                lambda connection: deleted.set_keep_until(connection, one.timeline, self._clock()), makes_room=True
            )
            await self._end(one)
            return
        earliest = window.earliest
        await self._store.write(lambda connection: deleted.set_earliest(connection, one.timeline, earliest))

    async def _end(self, one: DeletedService) -> None:
        """Delete what is left of it. From its time's end on no restoration begins (``restore`` looks inside of its own
        transaction), so that who does not read it now never will."""
        if services.readers(self._store, one.timeline):
            return
        if await self._engine.forget_backups(one.timeline) is Removal.STILL_THERE:
            return
        await self._store.write(lambda connection: deleted.remove(connection, one.timeline), makes_room=True)
        log.info("the backups of a deleted service are gone", service=one.id.ubid)

    # -- parts

    def _owned(self, found: DeletedService | None, organization: UUID, id: ServiceId) -> DeletedService:
        if found is None or found.organization != organization or found.keep_until <= self._clock():
            raise NotFound(f"there is no deleted Postgres service {id} whose backups are kept")
        return found

    async def _check(self, source: DeletedService, target: datetime | None) -> None:
        earliest = source.earliest_restore
        if target is not None and (target > source.deleted_at or (earliest is not None and target < earliest)):
            since = "its first base backup" if earliest is None else text(earliest)
            raise BadRequest(f"Restore target must be between {since} and {text(source.deleted_at)}")
        if await self._engine.keep_backups(source.timeline) is Removal.STILL_THERE:
            raise Unavailable("its last WAL is on its way to the archive; try again")
        await self._engine.restorable(source.timeline, target)
