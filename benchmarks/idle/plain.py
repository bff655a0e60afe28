"""Servers that nobody looks after: initdb, then Postgres with the settings that Howdah gives to its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Self

from backups.machine import Machine, end, free_port
from fixtures.server import CACHE
from fixtures.usage import Usage, look_below

SETTINGS = {
    "shared_buffers": "16MB",
    "maintenance_work_mem": "32MB",
    "max_wal_size": "512MB",
    "max_connections": "100",
    "huge_pages": "off",
    "jit": "off",
    "wal_level": "logical",
    "listen_addresses": "127.0.0.1",
}


class PlainServers:
    """``count`` of them, as ``with PlainServers(top, count) as plain``."""

    def __init__(self, top: Path, count: int) -> None:
        self._top = top
        self._machine = Machine(top, max((CACHE / "served" / "postgres").glob("17*")))
        self._count = count
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        for number in range(self._count):
            place = self._machine.directory(f"plain{number}")
            data = place / "data"
            self._machine.run(self._machine.program("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N"))
            options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
            command = self._machine.program("postgres", "-D", data, "-p", free_port(), "-k", place, *options)
            self._running.append(self._machine.spawn(command, self._top / f"plain{number}.log"))
            _await_ready(data / "postmaster.pid")
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._running:
            os.kill(server.pid, signal.SIGINT)
        for server in self._running:
            end(server)

    def look(self) -> dict[str, Usage]:
        return {"servers": look_below({server.pid for server in self._running})}


def _await_ready(pid_file: Path) -> None:
    while not pid_file.exists() or not pid_file.read_text().rstrip().endswith("ready"):
        time.sleep(0.01)
