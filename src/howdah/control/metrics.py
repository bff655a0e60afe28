"""What is measured of services, for whoever asks: nothing is measured while nobody does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from uuid import UUID

from howdah.control.backups import Backups
from howdah.control.clock import Clock
from howdah.control.remembered import Remembered
from howdah.control.services import Services
from howdah.control.traffic import TrafficCounts
from howdah.domain.errors import NotFound
from howdah.domain.health import Known
from howdah.domain.ids import ServiceId
from howdah.domain.metrics import Follower, ServerMetrics, ServiceMetrics
from howdah.domain.states import ServiceState
from howdah.engines.protocol import Engine

SERVER_SECONDS = 5.0
"""How old what a server says may be."""

ARCHIVE_SECONDS = 10.0
"""How old what the archive says may be: an object store takes several requests for that."""

_AT_ONCE = 8
"""Services that are looked at, when all of an organization are asked for."""


class Metrics:
    """A service of another organization is NotFound."""

    def __init__(
        self, clock: Clock, engine: Engine, services: Services, backups: Backups, traffic: TrafficCounts | None
    ) -> None:
        """``traffic``: None without a router."""
        self._clock = clock
        self._services = services
        self._backups = backups
        self._traffic = traffic
        self._server: Remembered[ServiceId, ServerMetrics] = Remembered(engine.metrics, SERVER_SECONDS)
        self._known: Remembered[tuple[UUID, ServiceId], Known] = Remembered(self._ask_archive, ARCHIVE_SECONDS)

    async def of(self, organization: UUID, id: ServiceId) -> ServiceMetrics:
        """Raises NotFound."""
        if self._traffic is not None:
            await asyncio.to_thread(self._traffic.read)
        return await self._of(organization, id)

    async def of_all(self, organization: UUID) -> list[ServiceMetrics]:
        """Of all its services, oldest first."""
        at_once = asyncio.Semaphore(_AT_ONCE)
        if self._traffic is not None:
            await asyncio.to_thread(self._traffic.read)

        async def measured(id: ServiceId) -> ServiceMetrics | None:
            async with at_once:
                with suppress(NotFound):  # One that was deleted meanwhile.
                    return await self._of(organization, id)
            return None

        found = await asyncio.gather(*(measured(service.id) for service in self._services.list(organization)))
        return [one for one in found if one is not None]

    async def _of(self, organization: UUID, id: ServiceId) -> ServiceMetrics:
        stored = self._services.stored(organization, id)
        if stored.service.state is ServiceState.DELETING:
            return ServiceMetrics(stored.service, ServerMetrics(), (), None, None, self._clock())
        server = await self._server.get(id)
        leading = server if stored.follows is None else await self._server.get(stored.follows)
        known = await self._known.get((organization, id))
        service = self._services.stored(organization, id).service
        return ServiceMetrics(
            service=service,
            server=server,
            followers=_followers(leading, id),
            traffic=None if self._traffic is None else self._traffic.of(id),
            health=self._backups.judge(service, known),
            at=self._clock(),
        )

    async def _ask_archive(self, key: tuple[UUID, ServiceId]) -> Known:
        return await self._backups.known(*key)


def _followers(leading: ServerMetrics, service: ServiceId) -> tuple[Follower, ...]:
    if leading.statistics is None:
        return ()
    return tuple(one for one in leading.statistics.followers if one.service == service)
