"""barman, streaming from a service's server, in a virtual environment and a home of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from fixtures.server import CACHE, eventually

from backups.machine import USER, Machine, end
from backups.service import Service

PACKAGES = ("barman==3.19.1", "psycopg2-binary==2.9.13", "python-dateutil==2.9.0.post0", "six==1.17.0")
"""barman asks for psycopg2, which is the same as psycopg2-binary but has to be compiled."""

ZSTD = ("backup_compression = zstd", "backup_compression_level = 1", "backup_compression_location = client")
_NEEDS = ("rsync", "zstd")


def missing() -> list[str]:
    """What of the system barman needs and is not there."""
    return [name for name in _NEEDS if shutil.which(name) is None]


class Barman:
    """One of its servers. ``options``: lines of its configuration beside those that all have."""

    def __init__(self, machine: Machine, service: Service, name: str, options: tuple[str, ...] = ()) -> None:
        self.machine = machine
        self.service = service
        self.name = name
        self._home = machine.directory(f"barman-{name}")
        self._configuration = self._home / "barman.conf"
        self._configuration.write_text(self._settings(options))
        self._configuration.chmod(0o644)
        self._program = _install()
        self.call("receive-wal", "--create-slot", name)
        self._receiver = machine.spawn(self._command("receive-wal", name), machine.top / f"barman-{name}.log")
        # Its slot begins where it begins.
        eventually("barman streams", lambda: any(self._home.glob("*/streaming/*.partial")), within=60)
        segment = service.switch()
        eventually("barman receives WAL", lambda: self.received(segment), within=60)
        self.archive_wal()

    def _settings(self, options: tuple[str, ...]) -> str:
        (self._home / "staging").mkdir()
        shutil.chown(self._home / "staging", USER)
        lines = (
            "[barman]",
            f"barman_user = {USER}",
            f"barman_home = {self._home}",
            f"barman_lock_directory = {self._home}",
            f"log_file = {self._home / 'barman.log'}",
            f"path_prefix = {self.machine.postgres / 'bin'}",
            f"[{self.name}]",
            f"description = {self.name}",
            f"conninfo = {self.service.target()}",
            f"streaming_conninfo = {self.service.target()}",
            "backup_method = postgres",
            "streaming_archiver = on",
            f"slot_name = barman_{self.name}",
            "create_slot = manual",
            "immediate_checkpoint = true",
            f"staging_path = {self._home / 'staging'}",
            "staging_location = local",
            *options,
        )
        return "\n".join(lines) + "\n"

    def _command(self, *arguments: str) -> list[str]:
        return self.machine.dropped(str(self._program), "-c", str(self._configuration), *arguments)

    def call(self, *arguments: str) -> str:
        return self.machine.run(self._command(*arguments))

    def received(self, segment: str) -> bool:
        return (self._home / self.name / "streaming" / segment).exists() or self.archived(segment)

    def archived(self, segment: str) -> bool:
        return (self._home / self.name / "wals" / segment[:16] / segment).exists()

    def archive_wal(self) -> None:
        """Move what was received into the archive, as ``barman cron`` does every minute."""
        self.call("archive-wal", self.name)

    def catch_up(self, segment: str) -> None:
        eventually(f"barman has received {segment}", lambda: self.received(segment), within=300)
        self.archive_wal()
        assert self.archived(segment), segment

    def backup(self) -> None:
        self.call("backup", self.name)

    def restore(self, into: Path) -> None:
        self.call("restore", self.name, "latest", str(into))

    def delete_oldest(self) -> None:
        self.call("delete", self.name, "oldest")

    def close(self) -> None:
        end(self._receiver)
        shutil.rmtree(self._home)


def _install() -> Path:
    place = CACHE / PACKAGES[0]
    program = place / "bin" / "barman"
    if not program.exists():
        print(f"installing {PACKAGES[0]}", file=sys.stderr)
        venv.create(place, with_pip=True)
        command = [str(place / "bin" / "pip"), "install", "--quiet", "--no-deps", *PACKAGES]
        subprocess.run(command, check=True, env=os.environ)
    return program
