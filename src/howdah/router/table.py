"""The route table as the router holds it: a file that the control plane replaces, read again when it has changed."""

from __future__ import annotations

import os
from pathlib import Path

from howdah.domain.routes import Address, Route, decode_routes
from howdah.router.log import Log


class RouteTable:
    """Call ``refresh()`` before looking anything up: one ``stat`` when nothing has changed. ``generation`` grows with
    every table that was read.

    A table that cannot be read or understood is logged once, and the last good one stays in force.
    """

    def __init__(self, path: Path, log: Log) -> None:
        self._path = path
        self._log = log
        self.generation = 0
        self._stamp: tuple[int, int, int] | None = None
        self._unreadable = ""
        self._by_name: dict[str, Route] = {}
        self._by_service: dict[str, Route] = {}

    def refresh(self) -> None:
        """Reads the file when it is another one than before."""
        try:
            status = os.stat(self._path)  # in the path of every connection, and cheaper
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp == self._stamp:
                return
            routes = decode_routes(self._path.read_bytes())
        except (OSError, ValueError) as error:
            if str(error) != self._unreadable:
                self._unreadable = str(error)
                self._log.error("routes_unreadable", path=str(self._path), error=str(error))
            return
        # The stamp is from before the reading: a table that was replaced in between is read once more, never missed.
        self._stamp, self._unreadable = stamp, ""
        self._by_name = {name: route for route in routes for name in route.names}
        self._by_service = {route.service: route for route in routes}
        self.generation += 1

    def named(self, name: str) -> Route | None:
        """The route of a hostname in lower case."""
        return self._by_name.get(name)

    def is_gone(self, service: str) -> bool:
        """Whether no route has that key any more; not before any table was read."""
        return self.generation > 0 and service not in self._by_service

    def leads_to(self, service: str, server: Address) -> bool:
        """Whether the service is served by that server now."""
        route = self._by_service.get(service)
        return route is not None and server in route.servers
