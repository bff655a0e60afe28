"""The route table: which hostname reaches which servers. The control plane writes it, the router reads it. And what the
router tells of it: how many bytes went through.

A file of JSON, replaced by rename:

    {"version": 2, "services": {"<key>": {"names": ["<hostname>", …], "servers": [["127.0.0.1", 20001], …],
                                          "state": "open" | "held"}}}

The key is a service's ubid, and ``<ubid>-ro`` for its read-only name. ``held``: new connections wait at the router
(bounded) until the route opens, moves or goes away. A held route may have no server, since a hostname is held from the
moment it exists; its servers, as those of an open one, keep the connections that they have.

A router that has been upgraded already may find the table of an older control plane: version 1 has one server,
``"host"`` and ``"port"``, and port 0 for none.

What each process of the router tells is a file of JSON, too: by the key of a route the bytes that came from clients,
and that went to them, since the service is there.

    {"version": 1, "bytes": {"<key>": [<from clients>, <to them>]}}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

FORMAT_VERSION = 2

Address = tuple[str, int]
"""Host and port of a server."""


Moved = Mapping[str, tuple[int, int]]
"""By the key of a route: bytes that came from clients, and that went to them."""

_MOVED_VERSION = 1


class RouteState(StrEnum):
    OPEN = "open"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Route:
    """Hostnames (lower case) of one service, and the servers that they reach now: any of these will do."""

    service: str
    names: tuple[str, ...]
    servers: tuple[Address, ...]
    state: RouteState


def encode_routes(routes: Iterable[Route]) -> bytes:
    """The file's content for ``routes``."""
    services = {
        route.service: {"names": list(route.names), "servers": list(route.servers), "state": route.state}
        for route in routes
    }
    return json.dumps({"version": FORMAT_VERSION, "services": services}).encode()


def decode_routes(content: bytes) -> tuple[Route, ...]:
    """The routes in a file's content. Raises ValueError when it is not a route table of a known version."""
    table: Any = json.loads(content)
    version = cast("dict[str, Any]", table).get("version") if isinstance(table, dict) else None
    if version not in (1, FORMAT_VERSION):
        raise ValueError(f"not a route table of version 1 or {FORMAT_VERSION}")
    servers = _one_server if version == 1 else _servers
    try:
        return tuple(
            Route(service, tuple(entry["names"]), servers(entry), RouteState(entry["state"]))
            for service, entry in cast("dict[str, Any]", table)["services"].items()
        )
    except (KeyError, TypeError, AttributeError) as broken:
        raise ValueError(f"a route table with a broken entry: {broken!r}") from None


def encode_moved(moved: Moved) -> bytes:
    """The file's content."""
    return json.dumps({"version": _MOVED_VERSION, "bytes": moved}).encode()


def decode_moved(content: bytes) -> Moved:
    """Raises ValueError when it is no such file."""
    told: Any = json.loads(content)
    try:
        counts = cast("dict[str, Any]", told)["bytes"] if told["version"] == _MOVED_VERSION else None
        return {key: (int(received), int(sent)) for key, (received, sent) in cast("dict[str, Any]", counts).items()}
    except (LookupError, TypeError, AttributeError) as broken:
        raise ValueError(f"not what a router tells: {broken!r}") from None


def _servers(entry: dict[str, Any]) -> tuple[Address, ...]:
    return tuple((host, int(port)) for host, port in entry["servers"])


def _one_server(entry: dict[str, Any]) -> tuple[Address, ...]:
    host, port = entry["host"], int(entry["port"])
    return ((host, port),) if port else ()
