"""The end of a service, pass by pass: its server, its files, its backups or all but them, and last its row."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from sqlalchemy import Connection

from howdah.control.clock import Clock
from howdah.domain.deleted import DeletedService
from howdah.domain.errors import HowdahError, Unavailable
from howdah.domain.ids import ServiceId
from howdah.domain.services import ServiceSpec
from howdah.domain.settings import BackupSettings
from howdah.domain.states import ServiceState
from howdah.engines.protocol import Engine, Removal
from howdah.store import deleted, instances, service_changes, services
from howdah.store.services import StoredService
from howdah.store.store import Store

REMOVAL_SECONDS = 0.1
"""Between two looks at a service that is not gone yet."""

READ_SECONDS = 1.0
"""Between two looks at a service whose backups are still being read."""

CONCLUDE_SECONDS = 60.0
"""For how long a server is kept so that nothing is missing in its backups."""

KEEP_SECONDS = 20.0
"""For how long a service whose server is gone waits for its archive; the rest is done when it is gone, too."""

INCOMPLETE = "what was committed last may be missing: it did not leave the server in time"

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class _Ending:
    """Of a service whose backups are kept. concluded: its server has ended; incomplete: not as it should have."""

    since: float
    concluded: bool = False
    incomplete: bool = False


class Removals:
    def __init__(self, engine: Engine, store: Store, clock: Clock, settings: BackupSettings) -> None:
        self._engine = engine
        self._store = store
        self._clock = clock
        self._keep_for = timedelta(days=settings.keep_after_delete_days if settings.enabled else 0)
        self._endings: dict[ServiceId, _Ending] = {}

    async def step(self, stored: StoredService, spec: ServiceSpec) -> float | None:
        """One pass. Returns the seconds after which another one makes sense, None when it is gone."""
        service = stored.service.id
        if self._keep_for and (waits_for := await self._conclude(spec)) is not None:
            await self._say(stored, f"its backups are kept: {waits_for}")
            return REMOVAL_SECONDS
        if await self._engine.remove(service, stored.timeline) is Removal.STILL_THERE:
            return REMOVAL_SECONDS
        kept = await self._keep(stored) if self._keep_for else None
        if kept is None:
            if await self._are_backups_read(stored):
                return READ_SECONDS
            if await self._engine.forget_backups(stored.timeline) is Removal.STILL_THERE:
                return REMOVAL_SECONDS

        def forget(connection: Connection) -> None:
            instances.remove_all(connection, service)
            service_changes.remove(connection, service)
            if kept is not None:
                deleted.add(connection, kept)

        await self._store.write(forget, makes_room=True)
        self._endings.pop(service, None)
        if kept is not None:
            log.info("a service is gone but for its backups", service=service.ubid, until=kept.keep_until.isoformat())
        return None

    async def _conclude(self, spec: ServiceSpec) -> str | None:
        """What is waited for, for a bounded time: who deletes a service wants it to go."""
        ending = self._endings.setdefault(spec.id, _Ending(time.monotonic()))
        if ending.concluded:
            return None
        hurry = time.monotonic() - ending.since > CONCLUDE_SECONDS
        if hurry and not ending.incomplete:
            log.warning("a service is deleted before all of its WAL has left its server", service=spec.id.ubid)
            ending.incomplete = True
        waits_for = await self._engine.conclude(spec, hurry=hurry)
        ending.concluded = waits_for is None
        return waits_for

    async def _keep(self, stored: StoredService) -> DeletedService | None:
        """What is known of it when only its backups are left; None when nothing can be restored from them.

        With an archive out of reach it goes all the same, and what waits for that goes there later.
        """
        service, now, ending = stored.service, self._clock(), self._endings.get(stored.service.id)
        kept = DeletedService(
            id=service.id,
            timeline=stored.timeline,
            organization=service.organization,
            name=service.name,
            provider=service.provider,
            region=service.region,
            size=service.size,
            storage_gib=service.storage_gib,
            postgres_version=service.postgres_version,
            tags=service.tags,
            created_at=service.created_at,
            deleted_at=now,
            keep_until=now + self._keep_for,
            earliest_restore=None,
            problem=INCOMPLETE if ending is not None and ending.incomplete else None,
        )
        try:
            async with asyncio.timeout(KEEP_SECONDS):
                while await self._engine.keep_backups(stored.timeline) is Removal.STILL_THERE:  # noqa: ASYNC110
                    await asyncio.sleep(REMOVAL_SECONDS)  # a drill ends when it ends
                window = (await self._engine.archive_status(stored.timeline)).window
        except (HowdahError, OSError, TimeoutError) as error:
            log.warning(
                "the backups of a deleted service are not whole yet",
                service=service.id.ubid,
                reason=str(error) or "it takes too long",
            )
            return kept
        return None if window is None else replace(kept, earliest_restore=window.earliest)

    async def _are_backups_read(self, stored: StoredService) -> bool:
        """Whether another service is being restored from its backups, so that they have to stay until that is over."""
        readers = services.readers(self._store, stored.timeline)
        if readers:
            names = ", ".join(one.ubid for one in readers)
            await self._say(stored, f"its backups are needed until {names} is restored or deleted")
        return bool(readers)

    async def _say(self, stored: StoredService, reason: str) -> None:
        """On a full disk it goes unsaid: a deletion makes room."""
        service = stored.service
        if reason != service.state_reason:
            with suppress(Unavailable):
                await self._store.write(
                    lambda connection: service_changes.set_state(connection, service.id, ServiceState.DELETING, reason)
                )
