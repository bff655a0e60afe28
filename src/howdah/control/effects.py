"""Waiting until a command has taken effect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from howdah.domain.ids import ServiceId
from howdah.domain.services import ServiceStatus

Reached = Callable[[ServiceStatus], bool]


class Effects:
    """Tells those who wait what each pass of the engine saw."""

    def __init__(self) -> None:
        self._waiting: dict[ServiceId, list[tuple[Reached, asyncio.Future[bool]]]] = {}

    def tell(self, service: ServiceId, status: ServiceStatus) -> None:
        for reached, future in self._waiting.get(service, ()):
            if not future.done() and reached(status):
                future.set_result(True)

    def gone(self, service: ServiceId) -> None:
        """The service is being deleted: nothing more will take effect."""
        for _, future in self._waiting.get(service, ()):
            if not future.done():
                future.set_result(False)

    async def wait(self, service: ServiceId, reached: Reached, *, seconds: float) -> bool:
        """Whether a pass saw a status that ``reached`` accepts within that time. Listens from the call on."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(service, [])
        waiting.append(entry := (reached, future))
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return False
        finally:
            waiting.remove(entry)
            if not waiting:
                self._waiting.pop(service, None)
