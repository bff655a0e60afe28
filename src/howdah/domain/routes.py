"""The route table: which hostname reaches which server. The control plane writes it, the router reads it.

A file of JSON, replaced by rename:

    {"version": 1, "services": {"<ubid>": {"names": ["<hostname>", …], "host": "127.0.0.1", "port": 20001,
                                           "state": "open" | "held"}}}

``held``: new connections wait at the router (bounded) until the route opens, moves or goes away. A held route may have
port 0: its server has no port yet, since a hostname is held from the moment it exists. An open route never has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

FORMAT_VERSION = 1


class RouteState(StrEnum):
    OPEN = "open"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Route:
    """One service's hostnames (lower case) and the server that they reach now."""

    service: str
    names: tuple[str, ...]
    host: str
    port: int
    state: RouteState


def encode_routes(routes: Iterable[Route]) -> bytes:
    """The file's content for ``routes``."""
    services = {
        route.service: {"names": list(route.names), "host": route.host, "port": route.port, "state": route.state}
        for route in routes
    }
    return json.dumps({"version": FORMAT_VERSION, "services": services}).encode()


def decode_routes(content: bytes) -> tuple[Route, ...]:
    """The routes in a file's content. Raises ValueError when it is not a route table of a known version."""
    table: Any = json.loads(content)
    if not isinstance(table, dict) or cast("dict[str, Any]", table).get("version") != FORMAT_VERSION:
        raise ValueError(f"not a route table of version {FORMAT_VERSION}")
    try:
        return tuple(
            Route(service, tuple(entry["names"]), entry["host"], int(entry["port"]), RouteState(entry["state"]))
            for service, entry in cast("dict[str, Any]", table)["services"].items()
        )
    except (KeyError, TypeError, AttributeError) as broken:
        raise ValueError(f"a route table with a broken entry: {broken!r}") from None
