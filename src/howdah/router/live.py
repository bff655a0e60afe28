"""The routed connections of this process: who is connected to which server."""

from __future__ import annotations

import ipaddress
import random
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager

from howdah.domain.routes import Address
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
    def __init__(self) -> None:
        self._pairs: set[Pair] = set()
        self._servers: dict[str, Counter[Address]] = {}
        self._loads: Counter[Address] = Counter()

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[Pair]:
        return iter(tuple(self._pairs))

    def add(self, pair: Pair) -> None:
        self._pairs.add(pair)
        self._servers.setdefault(pair.address, Counter())[pair.server_address] += 1
        self._loads[pair.server_address] += 1

    def remove(self, pair: Pair) -> None:
        self._pairs.discard(pair)
        servers = self._servers[pair.address]
        _take_one(servers, pair.server_address)
        if not servers:
            del self._servers[pair.address]
        _take_one(self._loads, pair.server_address)

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
        return sorted(random.sample(servers, len(servers)), key=self._loads.__getitem__)

    def servers(self, address: str) -> tuple[Address, ...]:
        """The servers to which a client (see ``client_address``) is connected."""
        return tuple(self._servers.get(address, ()))

    def close_misrouted(self, leads_to: Callable[[str, Address], bool]) -> int:
        """Closes the connections of services that are gone, or no longer served by that server. Returns how many. A
        held route keeps its connections."""
        misrouted = [pair for pair in self._pairs if not leads_to(pair.service, pair.server_address)]
        for pair in misrouted:
            pair.close()
        return len(misrouted)


def _take_one(counter: Counter[Address], server: Address) -> None:
    counter[server] -= 1
    if not counter[server]:
        del counter[server]
