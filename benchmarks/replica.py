#!/usr/bin/env python3
"""From POST …/readReplica to a replica that can be read, beside pg_basebackup and the start of a standby, in one run.

    python benchmarks/replica.py [--scale 65] [--rounds 5] [--postgres 18] [--json FILE]

Of the same service with a database of ``--scale`` (pgbench -i -s; 65 is about 1 GB), in turns that begin with another
one each:

- ``howdah``: POST, then a count of one of pgbench's tables through the replica's name, again every 20 ms until it is
  answered.
- ``pg_basebackup --no-sync, start``: the limit. As Howdah calls it (plain, -X stream, -c fast, --no-manifest), over the
  service's Unix socket; then a standby on it with the service's configuration (without TLS), and the same query over
  its Unix socket. Unlike Howdah, which has all of a copy written out (syncfs) before it uses it, this leaves nothing
  that would survive a loss of power.
- ``pg_basebackup, start``: the same without --no-sync.

What the one before has copied is deleted, and that synced, before each.

Needs `make install` and, as root, the user howdah.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psycopg

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests"))
from backups.machine import Machine, end, free_port, quiet  # noqa: E402
from backups.rounds import Target, Times, ratio, rotated, say  # noqa: E402
from backups.service import Service, delete  # noqa: E402
from fixtures.server import CACHE, Server, eventually  # noqa: E402

DATABASE = "bench"
HOWDAH, LIMIT, DURABLE = "howdah", "pg_basebackup --no-sync, start", "pg_basebackup, start"
MOST = 1.3
"""The target: of the limit's time."""
LONGEST = 120.0

_AS_PRIMARY = (
    *("max_connections", "max_locks_per_transaction", "max_prepared_transactions"),
    *("max_wal_senders", "max_worker_processes"),
)
"""Of these a standby must have what its primary has, which Howdah says on its command line in part."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=65)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgres", default="18")
    parser.add_argument("--json", type=Path, default=TOP / "benchmarks" / "results" / "replica.json")
    given = parser.parse_args()
    load = [os.getloadavg()]
    with ExitStack() as ending:
        top = Path(tempfile.mkdtemp(prefix="hwd-bench-"))
        ending.callback(shutil.rmtree, top, ignore_errors=True)
        top.chmod(0o755)
        server = Server(top / "state").start()
        ending.callback(server.stop_everything)
        bench = Bench(Machine(top, max((CACHE / "served" / "postgres").glob(f"{given.postgres}*"))), server, given)
        times = bench.measure(given.rounds)
        size = bench.size
    load.append(os.getloadavg())
    target = Target(f"of the time of {LIMIT}", ratio(times[HOWDAH], times[LIMIT]), MOST)
    print(f"{size / 1e6:,.0f} MB\n{table(times)}\n{target}")
    print("load " + " to ".join(" ".join(f"{one:.1f}" for one in each) for each in load))
    given.json.parent.mkdir(parents=True, exist_ok=True)
    summary = {"cores": os.cpu_count(), "load": load, "bytes": size, "seconds": times, "ratio": target.figure}
    given.json.write_text(json.dumps(summary, indent=1) + "\n")


class Bench:
    """The contestants, each of which returns its seconds, and the service that they copy."""

    def __init__(self, machine: Machine, server: Server, given: argparse.Namespace) -> None:
        self._machine = machine
        self._server = server
        self._service = Service(server, machine, given.postgres, "copied")
        self._service.fill(DATABASE, given.scale)
        self._rows: int = self._service.query("SELECT count(*) FROM pgbench_tellers", DATABASE)
        self.size: int = self._service.query("SELECT sum(pg_database_size(oid))::bigint FROM pg_database")

    def measure(self, rounds: int) -> Times:
        contestants: dict[str, Callable[[], float]] = {
            HOWDAH: self._howdah,
            LIMIT: lambda: self._by_hand("--no-sync"),
            DURABLE: self._by_hand,
        }
        times: Times = {name: [] for name in contestants}
        for turn in range(rounds):
            for name, contestant in rotated(contestants, turn):
                self._service.checkpoint()
                quiet()
                times[name].append(contestant())
                say(f"{name}: {times[name][-1]:.2f} s")
        return times

    def _howdah(self) -> float:
        began = time.perf_counter()
        made = self._server.call("POST", f"/{self._service.id}/readReplica", {"name": "replica"})
        eventually("the replica can be read", lambda: self._reads(made["connectionString"]), within=LONGEST)
        took = time.perf_counter() - began
        delete(self._server, made["id"])
        return took

    def _by_hand(self, *more: str) -> float:
        home = self._machine.directory("standby")
        data = home / "data"
        directory, its_port = self._service.socket
        port = free_port()
        start = self._prepared(home, port)
        began = time.perf_counter()
        options = ("--format=plain", "--wal-method=stream", "--checkpoint=fast", "--no-manifest", *more)
        reached = (f"--host={directory}", f"--port={its_port}", "--username=postgres", "--no-password")
        copy = self._machine.program("pg_basebackup", *options, *reached, "--write-recovery-conf", f"--pgdata={data}")
        self._machine.run(copy)
        standby = self._machine.spawn(start, self._machine.top / "standby.log")
        try:
            target = f"host={home} port={port} user=postgres"
            eventually("the standby can be read", lambda: self._reads(target), within=LONGEST)
            return time.perf_counter() - began
        finally:
            end(standby)
            shutil.rmtree(home)

    def _prepared(self, home: Path, port: int) -> list[str]:
        """The command that starts a standby there."""
        (home / "postgresql.conf").write_text(self._service.configuration)
        (home / "pg_hba.conf").write_text("local all all trust\n")
        settings = {
            "config_file": home / "postgresql.conf",
            "hba_file": home / "pg_hba.conf",
            "ident_file": "",
            "listen_addresses": "",
            "unix_socket_directories": home,
            "port": port,
            "wal_level": "logical",
            **{name: self._service.query(f"SHOW {name}") for name in _AS_PRIMARY},
        }
        return self._machine.program(
            "postgres", "-D", home / "data", *(f"--{name}={value}" for name, value in settings.items())
        )

    def _reads(self, target: str) -> bool:
        try:
            with psycopg.connect(target, dbname=DATABASE) as connection:
                row = connection.execute("SELECT count(*) FROM pgbench_tellers").fetchone()
        except psycopg.OperationalError:
            return False
        assert row == (self._rows,)
        return True


def table(times: Times) -> str:
    lines = [f"{'seconds':31} {'median':>8} {'min':>8} {'max':>8} {'of the limit':>13} {'howdah of it':>13}"]
    lines += [
        f"{name:31} {statistics.median(each):8.2f} {min(each):8.2f} {max(each):8.2f} {ratio(each, times[LIMIT]):13.2f}"
        f" {ratio(times[HOWDAH], each):13.2f}"
        for name, each in times.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
