"""A service of Howdah, and its server reached directly, past the router."""

from __future__ import annotations

import json
import re
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import zstandard
from fixtures.server import Server, eventually

from backups.machine import Machine

_GENERATED = re.compile(r"client-side generate ([\d.]+) s")
_TPS = re.compile(r"tps = ([\d.]+)")
_ROWS_OF_A_SCALE = 100_000


class Service:
    def __init__(self, server: Server, machine: Machine, version: str, name: str) -> None:
        self.server = server
        self.machine = machine
        self.created = server.running(name=name, postgresVersion=version)
        self.id: str = self.created["id"]

    # -- its server

    @property
    def socket(self) -> tuple[str, str]:
        """Directory of the Unix socket, and port."""
        (pidfile,) = self.server.state.glob(f"services/{self.id}/*/data/postmaster.pid")
        lines = pidfile.read_text().splitlines()
        return lines[4].strip(), lines[3].strip()

    @property
    def configuration(self) -> str:
        """The settings that Howdah gives it, but for those on its command line."""
        (conf,) = self.server.state.glob(f"services/{self.id}/*/conf/postgresql.conf")
        return conf.read_text()

    def target(self, database: str = "postgres") -> str:
        directory, port = self.socket
        return f"host={directory} port={port} user=postgres dbname={database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.created["connectionString"], dbname=database, autocommit=True)

    def query(self, statement: str, database: str = "postgres") -> Any:
        """The first field of the first row."""
        with self.connect(database) as connection:
            row = connection.execute(statement.encode()).fetchone()
            return None if row is None else row[0]

    def make_database(self, name: str) -> None:
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())

    def checkpoint(self) -> None:
        with self.connect() as connection:
            connection.execute("CHECKPOINT")

    def switch(self) -> str:
        """The name of the newest segment, which is whole from now on."""
        with self.connect() as connection:
            connection.execute("SELECT pg_logical_emit_message(false, 'bench', 'before')")
            row = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
            # What receives WAL sees that a segment has ended when something comes after it.
            connection.execute("SELECT pg_logical_emit_message(true, 'bench', 'after')")
        assert row is not None
        return str(row[0])

    # -- its loads

    def pgbench(self, *options: object, database: str) -> str:
        return self.machine.run(self.machine.program("pgbench", *options, self.target(database)))

    def fill(self, database: str, scale: int) -> None:
        self.make_database(database)
        self.pgbench("-i", "-q", "-s", scale, database=database)

    def transactions(self, database: str, seconds: int, clients: int) -> float:
        """Per second, of pgbench -N."""
        threads = min(clients, 2)
        said = self.pgbench("-N", "-n", "-c", clients, "-j", threads, "-T", seconds, database=database)
        found = _TPS.search(said)
        assert found is not None, said
        return float(found[1])

    def load(self, database: str, scale: int) -> float:
        """Rows per second, of the COPY with which pgbench fills its table."""
        command = self.machine.program("pgbench", "-i", "-q", "-I", "dtg", "-s", scale, self.target(database))
        said = self.machine.run(["sh", "-c", 'exec "$@" 2>&1', "sh", *command])
        found = _GENERATED.search(said)
        assert found is not None, said
        return scale * _ROWS_OF_A_SCALE / float(found[1])

    # -- its archive

    @cached_property
    def archive(self) -> Path:
        """Its directory in the archive."""

        def find() -> Path | None:
            for facts in (self.server.state / "archive").glob("*/timeline.json"):
                if json.loads(facts.read_text())["service"] == self.id:
                    return facts.parent
            return None

        return eventually("the service is archived", find)

    def archived(self, segment: str) -> bool:
        return (self.archive / "wal" / f"{segment}.zst").exists()

    def status(self) -> dict[str, Any]:
        answer = self.server.client.get(f"/v1/howdah/services/{self.id}/backups")
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def catch_up(self) -> str:
        """Wait until everything is in the archive; returns the newest segment."""
        segment = self.switch()
        eventually(f"{segment} is in the archive", lambda: self.archived(segment), within=300)
        return segment

    def first_backup(self) -> None:
        """Wait for the one that a new service gets."""
        eventually("the service has a backup", lambda: self.status()["backups"], within=300, every=0.2)

    def unpack_wal(self, into: Path) -> None:
        """All of it, as Postgres reads it."""
        for stored in (self.archive / "wal").glob("*.zst"):
            if ".partial" not in stored.name:
                with zstandard.open(stored, "rb") as packed:
                    (into / stored.name.removesuffix(".zst")).write_bytes(packed.read())

    # -- its end

    def restart(self) -> None:
        self.server.call("PATCH", f"/{self.id}/state", {"command": "restart"})
        time.sleep(1)
        self.server.wait_until(self.id, "running")

    def delete(self) -> None:
        delete(self.server, self.id)


def delete(server: Server, id: str) -> None:
    server.call("DELETE", f"/{id}")
    server.wait_until_gone(id, within=120)
