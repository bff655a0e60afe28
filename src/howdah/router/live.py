"""The routed connections of this process: who is connected to which server."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator

from howdah.domain.routes import Route
from howdah.router.splice import Pair

Address = tuple[str, int]
"""Host and port of a server."""

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

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[Pair]:
        return iter(tuple(self._pairs))

    def add(self, pair: Pair) -> None:
        self._pairs.add(pair)
        self._servers.setdefault(pair.address, Counter())[(pair.route.host, pair.route.port)] += 1

    def remove(self, pair: Pair) -> None:
        self._pairs.discard(pair)
        servers, server = self._servers[pair.address], (pair.route.host, pair.route.port)
        servers[server] -= 1
        if not servers[server]:
            del servers[server]
        if not servers:
            del self._servers[pair.address]

    def servers(self, address: str) -> tuple[Address, ...]:
        """The servers to which a client (see ``client_address``) is connected."""
        return tuple(self._servers.get(address, ()))

    def close_misrouted(self, of_service: Callable[[str], Route | None]) -> int:
        """Closes the connections of services that are gone or live elsewhere now. Returns how many. A held route keeps
        its connections."""
        misrouted = [
            pair
            for pair in self._pairs
            if (now := of_service(pair.route.service)) is None
            or (now.host, now.port) != (pair.route.host, pair.route.port)
        ]
        for pair in misrouted:
            pair.close()
        return len(misrouted)
