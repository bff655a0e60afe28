"""A router process of a test's own, with a route table that the test writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from fixtures.server import eventually

from howdah.domain.routes import Route, RouteState, encode_routes
from router.tls_postgres import PASSWORD, Postgres


def route_to(server: Postgres, *, service: str = "", state: RouteState = RouteState.OPEN) -> Route:
    return Route(service or f"service-{server.port}", server.names, (("127.0.0.1", server.port),), state)


def direct_dsn(server: Postgres) -> str:
    """libpq's connection string to a server, past any router."""
    return _dsn(server.names[0], server.port)


def _dsn(name: str, port: int, **options: str) -> str:
    given = {
        "host": name,
        "hostaddr": "127.0.0.1",
        "port": str(port),
        "user": "postgres",
        "password": PASSWORD,
        "dbname": "postgres",
        "sslmode": "require",
        "connect_timeout": "20",
    } | options
    return " ".join(f"{key}={value}" for key, value in given.items())


class RouterProcess:
    """Start it, write its routes, look at its log and status."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.routes_file = directory / "routes.json"
        self.status_file = directory / "router.json"
        self.log_file = directory / "router.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.routes()

    def routes(self, *routes: Route) -> None:
        fresh = self.directory / "routes.json.new"
        fresh.write_bytes(encode_routes(routes))
        fresh.replace(self.routes_file)

    def start(
        self,
        *options: str,
        addresses: tuple[str, ...] = ("127.0.0.1",),
        prefix: tuple[str, ...] = (),
        stderr: int | None = None,
    ) -> None:
        self.status_file.unlink(missing_ok=True)
        command = [*prefix, sys.executable, "-m", "howdah.router", "--routes", str(self.routes_file)]
        command += ["--port", str(self.port), "--status-file", str(self.status_file), *options]
        for address in addresses:
            command += ["--address", address]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=stderr or log, start_new_session=True
            )
        self.port = eventually("the router listens", self._port)

    def _port(self) -> int | None:
        assert self.process is not None
        assert self.process.poll() is None, self.log_file.read_text()
        return self.status()["port"] if self.status_file.exists() else None

    def status(self) -> dict[str, Any]:
        return json.loads(self.status_file.read_text())

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def workers(self, count: int) -> list[int]:
        """The pids of its workers, once there are so many."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")

        def found() -> list[int]:
            pids = [int(pid) for pid in children.read_text().split()]
            return pids if len(pids) == count else []

        return eventually(f"there are {count} workers", found)

    def rss(self, *workers: int) -> int:
        """Resident memory in bytes, of the first process and of ``workers``."""
        assert self.process is not None
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in (self.process.pid, *workers)]
        return sum(pages) * os.sysconf("SC_PAGESIZE")

    def cpu_seconds(self) -> float:
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self) -> int:
        assert self.process is not None
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(10)
        self.process = None
        return code

    def dsn(self, name: str, **options: str) -> str:
        """libpq's connection string to ``name`` through this router."""
        return _dsn(name, self.port, **options)
