"""The clients of this process, and of its fellow workers: who is connected to which server."""

from __future__ import annotations

import ipaddress
import random
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager

from howdah.domain.routes import Address
from howdah.router.census import Seat
from howdah.router.peers import has_vanished
from howdah.router.splice import Pair

LOOPBACK = "loopback"


def client_address(host: str) -> str:
    """What stands for a client's address when a CancelRequest is matched with its connections. All loopback addresses
    are one client: a driver that resolves ``localhost`` again may come by the other family."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return LOOPBACK if address.is_loopback else str(address)


class LiveConnections:
    """``seat``: where connections are shown to the other workers, when there are some.

    A client counts from ``arrive()`` on, until ``depart()``, or until its connection is removed.
    """

    def __init__(self, seat: Seat | None = None) -> None:
        self._seat = seat
        self._clients = 0
        self._places: dict[Pair, int] = {}
        self._pairs: set[Pair] = set()
        self._servers: dict[str, Counter[Address]] = {}
        self._loads: Counter[Address] = Counter()
        self._moved: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[Pair]:
        return iter(tuple(self._pairs))

    def arrive(self) -> None:
        self._count(1)

    def depart(self) -> None:
        self._count(-1)

    def _count(self, change: int) -> None:
        self._clients += change
        if self._seat is not None:
            self._seat.note_clients(self._clients)

    def clients(self) -> int:
        """Of all workers."""
        return self._clients + (0 if self._seat is None else self._seat.others_clients())

    def add(self, pair: Pair) -> None:
        """Of a client that has arrived."""
        self._pairs.add(pair)
        if self._seat is not None:
            self._places[pair] = self._seat.enter(pair.address, pair.server_address)
        self._servers.setdefault(pair.address, Counter())[pair.server_address] += 1
        self._loads[pair.server_address] += 1

    def remove(self, pair: Pair) -> None:
        self._pairs.discard(pair)
        _move(self._moved, pair)
        if self._seat is not None:
            self._seat.leave(self._places.pop(pair))
        servers = self._servers[pair.address]
        _take_one(servers, pair.server_address)
        if not servers:
            del self._servers[pair.address]
        _take_one(self._loads, pair.server_address)
        self.depart()

    def moved(self) -> dict[str, tuple[int, int]]:
        """Bytes from clients and to them, by the keys of routes, of connections that have ended and of those that
        live."""
        total = dict(self._moved)
        for pair in self._pairs:
            _move(total, pair)
        return total

    def forget(self, gone: Callable[[str], bool]) -> None:
        """What went through for services that are gone."""
        for service in [service for service in self._moved if gone(service)]:
            del self._moved[service]

    @contextmanager
    def dialling(self, server: Address) -> Generator[None]:
        """Counts a connection that is being made, so that many at once do not all choose the same server."""
        self._loads[server] += 1
        try:
            yield
        finally:
            _take_one(self._loads, server)

    def least_loaded_first(self, servers: Sequence[Address]) -> list[Address]:
        """By connections of this router; equal ones in random order."""
        if len(servers) < 2:
            return list(servers)
        return sorted(random.sample(servers, len(servers)), key=self._load)

    def _load(self, server: Address) -> int:
        return self._loads[server] + (0 if self._seat is None else self._seat.others_load(server))

    def servers(self, address: str) -> tuple[Address, ...]:
        """The servers to which a client (see ``client_address``) is connected."""
        own = self._servers.get(address, ())
        return tuple(own) if self._seat is None else tuple({*own, *self._seat.others_servers(address)})

    def close_misrouted(self, leads_to: Callable[[str, Address], bool]) -> int:
        """Closes the connections of services that are gone, or no longer served by that server. Returns how many. A
        held route keeps its connections."""
        misrouted = [pair for pair in self._pairs if not leads_to(pair.service, pair.server_address)]
        for pair in misrouted:
            pair.close()
        return len(misrouted)

    def close_vanished(self, seconds: float) -> int:
        """Closes the connections of which one side has not answered for so long. Returns how many."""
        vanished = [
            pair
            for pair in self._pairs
            if has_vanished(pair.client.socket, seconds) or has_vanished(pair.server.socket, seconds)
        ]
        for pair in vanished:
            pair.close()
        return len(vanished)


def _move(total: dict[str, tuple[int, int]], pair: Pair) -> None:
    received, sent = total.get(pair.service, (0, 0))
    total[pair.service] = received + pair.client.moved, sent + pair.server.moved


def _take_one(counter: Counter[Address], server: Address) -> None:
    counter[server] -= 1
    if not counter[server]:
        del counter[server]
