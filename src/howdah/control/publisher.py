"""The route table that the router reads, made from the store and replaced whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from howdah.domain.errors import Unavailable
from howdah.domain.ids import ServiceId
from howdah.domain.routes import Route, RouteState, encode_routes
from howdah.domain.services import Endpoint
from howdah.domain.states import ServiceState
from howdah.store import hostnames, services
from howdah.store.services import Place
from howdah.store.store import Store

_ANYWHERE = Endpoint("127.0.0.1", 0)


@dataclass(frozen=True, slots=True)
class Opening:
    """A service that is about to be stored as running: its route opens first, unless another restart was asked for."""

    service: ServiceId
    endpoint: Endpoint
    restart: int


def routes(
    places: Iterable[Place], names: dict[ServiceId, list[str]], openings: dict[ServiceId, Opening]
) -> list[Route]:
    """The table: running services open, all others held, those that are being deleted absent."""
    table: list[Route] = []
    for place in places:
        if place.state is ServiceState.DELETING:
            continue
        opening = openings.get(place.service)
        if opening is not None and opening.restart == place.restart:
            endpoint, state = opening.endpoint, RouteState.OPEN
        elif place.endpoint is not None and place.state is ServiceState.RUNNING:
            endpoint, state = place.endpoint, RouteState.OPEN
        else:
            endpoint, state = place.endpoint or _ANYWHERE, RouteState.HELD
        own = tuple(names.get(place.service, ()))
        table.append(Route(place.service.ubid, own, endpoint.host, endpoint.port, state))
    return table


class Publisher:
    """Writes the table. Calls that come while one is written share the next; each returns when a table that was read
    from the store after the call is in place."""

    def __init__(self, store: Store, file: Path, also: Callable[[list[Route]], None]) -> None:
        """``also``: told, on a thread, of each new table before it is in place."""
        self._store = store
        self._file = file
        self._also = also
        self._openings: dict[ServiceId, Opening] = {}
        self._turn = asyncio.Lock()
        # One thread: what a cancelled call has begun is in place before the next table, never after it.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="routes")
        self._asked = 0
        self._done = 0
        self._published: bytes | None = None

    async def publish(self) -> None:
        """Raises Unavailable when the file cannot be written."""
        self._asked += 1
        mine = self._asked
        async with self._turn:
            if self._done >= mine:
                return
            covers = self._asked
            with self._store.snapshot():
                places, names = services.places(self._store), hostnames.by_service(self._store)
            table = routes(places, names, self._openings)
            content = encode_routes(table)
            if content != self._published:
                self._published = None
                await asyncio.get_running_loop().run_in_executor(self._writer, self._replace, table, content)
                self._published = content
            self._done = covers

    def stop(self) -> None:
        """Waits for what is being written."""
        self._writer.shutdown()

    async def open(self, opening: Opening) -> None:
        """Publishes the open route of a service that is not yet stored as running."""
        self._openings[opening.service] = opening
        await self.publish()

    def close(self, opening: Opening) -> None:
        """What is stored counts again, from the next publishing on."""
        if self._openings.get(opening.service) == opening:
            del self._openings[opening.service]

    def _replace(self, table: list[Route], content: bytes) -> None:
        self._also(table)
        aside = self._file.with_suffix(".new")
        try:
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            aside.replace(self._file)
        except OSError as error:
            raise Unavailable(f"the route table {self._file} cannot be written: {error.strerror}") from error
