"""Makes the world match the store: each service that may have changed is passed to the engine until it is settled.

Level-triggered: a pass looks at what is wanted now and at what is, so this loop may be killed at any instruction.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from howdah.control.effects import Effects
from howdah.control.passes import Passes
from howdah.domain.errors import HowdahError
from howdah.domain.ids import ServiceId
from howdah.engines.protocol import Engine

PARALLEL = 16
PASS_SECONDS = 120.0
"""A pass that takes longer is cancelled and tried again."""

TURN_SECONDS = 2.0
"""After which a service that still has something to do, a recovering one perhaps, lets others go first."""

SWEEP_SECONDS, SWEPT_A_SECOND = 60.0, 1.0
"""A sweep takes so long, or longer where there are so many services that it would look at more of them in a second."""

FIRST_BACK_OFF_SECONDS = 0.5
LONGEST_BACK_OFF_SECONDS = 60.0

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Reconciler:
    """One task per service that has something to do; passes take turns, first come first served."""

    def __init__(
        self, engine: Engine, passes: Passes, effects: Effects, *, sweep_seconds: float = SWEEP_SECONDS
    ) -> None:
        self.effects = effects
        self._engine = engine
        self._passes = passes
        passes.wake = self.wake
        self._sweep_seconds = sweep_seconds
        self._turns = asyncio.Semaphore(PARALLEL)
        self._woken: dict[ServiceId, asyncio.Event] = {}
        self._group: asyncio.TaskGroup | None = None

    def wake(self, service: ServiceId) -> None:
        """Look at the service, again if it is being looked at."""
        if (woken := self._woken.get(service)) is not None:
            woken.set()
            return
        self._woken[service] = asyncio.Event()
        self._woken[service].set()
        if self._group is not None:
            self._group.create_task(self._look_after(service), name=f"reconcile {service}")

    def wake_all(self) -> None:
        """Look at every service: what was done before is not known."""
        for service in self._passes.services():
            self.wake(service)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for service in list(self._woken):
                group.create_task(self._look_after(service), name=f"reconcile {service}")
            group.create_task(self._forever("engine changes", self._follow_changes))
            group.create_task(self._forever("sweep", self._sweep))

    async def _look_after(self, service: ServiceId) -> None:
        woken = self._woken[service]
        failures = 0
        try:
            while woken.is_set():
                try:
                    async with self._turns:
                        again_after = await self._turn(service, woken)
                    failures = 0
                except Exception as error:  # noqa: BLE001  # one service must not end the care for all others
                    failures += 1
                    again_after = min(FIRST_BACK_OFF_SECONDS * 2 ** (failures - 1), LONGEST_BACK_OFF_SECONDS)
                    self._log_failure(service, error, again_after)
                if again_after is not None:
                    await _wait(woken, again_after)
                    woken.set()
        finally:
            del self._woken[service]

    async def _turn(self, service: ServiceId, woken: asyncio.Event) -> float | None:
        """Passes while there is more to do at once: of many new services the first are ready early, instead of all
        of them late."""
        end = time.monotonic() + TURN_SECONDS
        while True:
            woken.clear()
            async with asyncio.timeout(PASS_SECONDS):
                again_after = await self._passes.run(service)
            if again_after is None or again_after > 0 or time.monotonic() >= end:
                return again_after

    def _log_failure(self, service: ServiceId, error: Exception, again_after: float) -> None:
        if isinstance(error, HowdahError):
            log.warning("pass failed", service=service.ubid, reason=str(error), again_after=again_after)
        else:
            log.error("pass failed", service=service.ubid, again_after=again_after, exc_info=error)

    async def _follow_changes(self) -> None:
        async for service in self._engine.changes():
            self._passes.happened(service)
            self.wake(service)

    async def _sweep(self) -> None:
        """Every service once per period, spread over it: what no event told is found all the same."""
        services = self._passes.services()
        for service in services:
            self.wake(service)
            await asyncio.sleep(max(self._sweep_seconds / len(services), 1 / SWEPT_A_SECOND))
        if not services:
            await asyncio.sleep(self._sweep_seconds)

    async def _forever(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # said with its traceback; this loop has to outlive its faults
                log.error("loop failed", loop=name, exc_info=error)
                await asyncio.sleep(FIRST_BACK_OFF_SECONDS)
            await asyncio.sleep(0)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    if seconds <= 0:
        await asyncio.sleep(0)
        return
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
