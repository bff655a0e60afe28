"""The route table that the router reads, made from the store, replaced whole."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from howdah.domain.errors import Unavailable
from howdah.domain.ids import ServiceId
from howdah.domain.names import read_only
from howdah.domain.routes import Address, Route, RouteState, encode_routes
from howdah.domain.services import Endpoint
from howdah.domain.states import HaType, ServiceState
from howdah.store import hostnames, services
from howdah.store.services import Place
from howdah.store.store import Store


@dataclass(frozen=True, slots=True)
class Opening:
    """A service that is about to be stored as running: its route opens first, unless another restart was asked for."""

    service: ServiceId
    endpoint: Endpoint
    restart: int


def route(place: Place, names: tuple[str, ...], opening: Opening | None, *, doubted: bool = False) -> Route | None:
    """The route of a service: open when it runs and that is not in doubt, absent when it is being deleted, held
    otherwise."""
    if place.state is ServiceState.DELETING:
        return None
    if opening is not None and opening.restart == place.restart:
        endpoint, state = opening.endpoint, RouteState.OPEN
    elif place.unconfirmed:
        return _unconfirmed(place, place.service.ubid, names)
    elif place.endpoint is not None and place.state is ServiceState.RUNNING and not doubted:
        endpoint, state = place.endpoint, RouteState.OPEN
    else:
        endpoint, state = place.endpoint, RouteState.HELD
    return Route(place.service.ubid, names, () if endpoint is None else _addresses(endpoint), state)


def read_only_route(place: Place, names: tuple[str, ...], left_out: frozenset[Endpoint] = frozenset()) -> Route | None:
    """The route of the read-only names: to the standbys that let clients in, whatever the primary does; held when there
    are none, absent when there are to be none or the service is being deleted."""
    if place.ha_type is HaType.NONE or place.state is ServiceState.DELETING:
        return None
    key, names = f"{place.service.ubid}-ro", tuple(read_only(name) for name in names)
    if place.unconfirmed:
        return _unconfirmed(place, key, names)
    standbys = [standby for standby in place.standbys if standby not in left_out]
    return Route(
        service=key,
        names=names,
        servers=_addresses(*standbys),
        state=RouteState.OPEN if standbys else RouteState.HELD,
    )


def _unconfirmed(place: Place, key: str, names: tuple[str, ...]) -> Route:
    """Any of its servers may be the primary: connections stay where they are, and new ones wait."""
    servers = (*(() if place.endpoint is None else (place.endpoint,)), *place.standbys)
    return Route(key, names, _addresses(*servers), RouteState.HELD)


def _addresses(*endpoints: Endpoint) -> tuple[Address, ...]:
    return tuple((endpoint.host, endpoint.port) for endpoint in endpoints)


class Publisher:
    """Keeps the table and writes it. Calls that come while it is written share the next writing; each returns when a
    table that has what the store said after the call is in place."""

    def __init__(self, store: Store, file: Path, also: Callable[[list[Route]], None]) -> None:
        """``also``: told, on a thread, of each new table before it is in place.

        problem: why the table in place is an old one; None when it is not.
        """
        self.problem: str | None = None
        self._store = store
        self._file = file
        self._also = also
        self._table: dict[ServiceId, tuple[Route, ...]] = {}
        self._stale: set[ServiceId] = set()
        self._openings: dict[ServiceId, Opening] = {}
        self._doubted: set[ServiceId] = set()
        self._left_out: dict[ServiceId, frozenset[Endpoint]] = {}
        self._turn = asyncio.Lock()
        self._in_place = False
        # One thread: what a cancelled call has begun is in place before the next table, never after it.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="routes")

    async def publish_all(self) -> None:
        """Makes the whole table from the store. Raises Unavailable when the file cannot be written."""
        await self.publish(*services.ids(self._store))

    async def publish(self, *changed: ServiceId) -> None:
        """Makes the routes of these services anew. Raises Unavailable when the file cannot be written."""
        self._stale.update(changed)
        async with self._turn:
            for service in tuple(self._stale):
                self._refresh(service)
                self._stale.discard(service)
            if self._in_place:
                return
            table = list(itertools.chain.from_iterable(self._table.values()))
            try:
                await asyncio.get_running_loop().run_in_executor(self._writer, self._replace, table)
            except Unavailable as error:
                self.problem = str(error)
                raise
            self._in_place = True
            self.problem = None

    def stop(self) -> None:
        """Waits for what is being written."""
        self._writer.shutdown()

    async def open(self, opening: Opening) -> None:
        """Publishes the open route of a service that is not yet stored as running."""
        self._openings[opening.service] = opening
        await self.publish(opening.service)

    def close(self, opening: Opening) -> None:
        """What is stored counts again, from the next publishing on."""
        if self._openings.get(opening.service) == opening:
            del self._openings[opening.service]

    def doubt(self, service: ServiceId) -> None:
        """Something happened to it: from the next publishing on its route is held until ``trust``."""
        self._doubted.add(service)

    def trust(self, service: ServiceId) -> None:
        """It was seen to be ready since."""
        self._doubted.discard(service)

    def leave_out(self, service: ServiceId, standbys: Collection[Endpoint]) -> None:
        """From the next publishing on the read-only route does without these, and no others, of its standbys."""
        if standbys:
            self._left_out[service] = frozenset(standbys)
        else:
            self._left_out.pop(service, None)

    def _refresh(self, service: ServiceId) -> None:
        fresh = self._routes(service)
        if fresh == self._table.get(service, ()):
            return
        self._in_place = False
        if fresh:
            self._table[service] = fresh
        else:
            del self._table[service]

    def _routes(self, service: ServiceId) -> tuple[Route, ...]:
        with self._store.snapshot():
            place, names = services.place(self._store, service), hostnames.of(self._store, service)
        if place is None:
            return ()
        made = (
            route(place, names, self._openings.get(service), doubted=service in self._doubted),
            read_only_route(place, names, self._left_out.get(service, frozenset())),
        )
        return tuple(one for one in made if one is not None)

    def _replace(self, table: list[Route]) -> None:
        self._also(table)
        aside = self._file.with_suffix(".new")
        try:
            with aside.open("wb") as file:
                file.write(encode_routes(table))
                file.flush()
                os.fchmod(file.fileno(), 0o600)
                os.fsync(file.fileno())
            aside.replace(self._file)
        except OSError as error:
            raise Unavailable(f"the route table {self._file} cannot be written: {error.strerror}") from error
