"""Base backups: Howdah's, pg_basebackup's, barman's, of one server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fixtures.server import eventually

from backups.barman import Barman
from backups.machine import Machine, quiet
from backups.rounds import Times, rotated, say, seconds
from backups.service import Service
from backups.steps import BackupSteps

HOWDAH = "howdah"
PLAIN = "pg_basebackup -Ft"
LIMIT = "pg_basebackup -Ft, zstd:1"


class Copies:
    """``steps``: where Howdah's time went, for each of its backups."""

    def __init__(self, machine: Machine, service: Service, barmen: dict[str, Barman]) -> None:
        self._machine = machine
        self._service = service
        self._barmen = barmen
        self.steps: list[dict[str, float]] = []
        self.contestants: dict[str, Callable[[], None]] = {
            HOWDAH: self._howdah,
            PLAIN: lambda: self._pg_basebackup(self.plain),
            LIMIT: lambda: self._pg_basebackup(self.packed, "--compress=client-zstd:1"),
            **{name: barman.backup for name, barman in barmen.items()},
        }

    @property
    def plain(self) -> Path:
        """The newest of pg_basebackup's: base.tar."""
        return self._machine.top / "pg_basebackup"

    @property
    def packed(self) -> Path:
        """The same as base.tar.zst."""
        return self._machine.top / "pg_basebackup-zstd"

    def measure(self, rounds: int) -> Times:
        """Seconds of each contestant."""
        times: Times = {name: [] for name in self.contestants}
        for turn in range(rounds):
            for name, contestant in rotated(self.contestants, turn):
                self._service.checkpoint()
                quiet()
                times[name].append(seconds(contestant))
                say(f"backup, {name}: {times[name][-1]:.1f} s")
            if turn < rounds - 1:
                for barman in self._barmen.values():
                    barman.delete_oldest()
        return times

    def _howdah(self) -> None:
        steps = BackupSteps(self._service)
        path = f"/v1/howdah/services/{self._service.id}/backups"
        asked = self._service.server.client.post(path).json()["result"]["request"]
        steps.follow()
        eventually(
            "the backup is shown",
            lambda: any(backup["request"] == asked for backup in self._service.status()["backups"]),
            within=600,
        )
        steps.note("until it is shown")
        self.steps.append(steps.seconds)

    def _pg_basebackup(self, into: Path, *options: str) -> None:
        directory, port = self._service.socket
        self._machine.directory(into.name)
        self._machine.run(
            self._machine.program(
                *("pg_basebackup", f"--pgdata={into}", "--format=tar", "--wal-method=none", "--checkpoint=fast"),
                *("--no-password", f"--host={directory}", f"--port={port}", "--username=postgres", *options),
            )
        )
