"""From a backup to the first query: Howdah's restore, barman's, and unpacking by hand."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fixtures.server import eventually

from backups.barman import Barman
from backups.copies import Copies
from backups.machine import Machine, end, free_port, quiet
from backups.rounds import Times, rotated, say
from backups.service import Service, delete
from backups.steps import RestoreSteps, is_ready

HOWDAH = "howdah"
LIMIT = "tar, start"
PACKED = "zstd and tar, start"
_LONGEST = 900.0
_COUNT = "SELECT count(*) FROM pgbench_history"


class Restores:
    """Each restores all that ``service`` has: its newest backup, then the WAL since.

    ``steps``: where Howdah's time went, for each of its restorations.
    """

    def __init__(self, machine: Machine, service: Service, copies: Copies, barmen: dict[str, Barman]) -> None:
        self._machine = machine
        self._service = service
        self._copies = copies
        self._barmen = barmen
        self._database = "bench"
        self.steps: list[dict[str, float]] = []
        self.contestants: dict[str, Callable[[], float]] = {
            HOWDAH: self._howdah,
            LIMIT: lambda: self._by_hand(self._untar, archived=True),
            PACKED: lambda: self._by_hand(self._untar_packed, archived=True),
            **{name: self._with(barman) for name, barman in barmen.items()},
        }
        if shutil.which("zstd") is None:
            del self.contestants[PACKED]
        self._wal = machine.directory("wal")

    def write(self, transactions: int) -> None:
        """The WAL that is to be replayed, and wait until everybody has it."""
        clients = 4
        self._service.pgbench(
            *("-N", "-n", "-c", clients, "-j", 2, "-t", max(1, transactions // clients)), database=self._database
        )
        segment = self._service.catch_up()
        for barman in self._barmen.values():
            barman.catch_up(segment)
        self._service.unpack_wal(self._wal)
        self._machine.run(["chmod", "-R", "a+rX", str(self._wal)])
        self._rows = self._service.query(_COUNT, self._database)

    def measure(self, rounds: int) -> Times:
        """Seconds of each contestant."""
        times: Times = {name: [] for name in self.contestants}
        for turn in range(rounds):
            for name, contestant in rotated(self.contestants, turn):
                quiet()
                times[name].append(contestant())
                say(f"restore, {name}: {times[name][-1]:.1f} s")
        return times

    # -- contestants: each returns its seconds until the first query was answered

    def _howdah(self) -> float:
        server = self._service.server
        began = time.perf_counter()
        body = {"name": "restored", "restoreTarget": "latest"}
        restored = server.call("POST", f"/{self._service.id}/restoredService", body)
        with RestoreSteps(self._service, restored["id"], began=began) as steps:
            self._first_query(restored["connectionString"])
            took = time.perf_counter() - began
        self.steps.append(steps.seconds)
        self._check(restored["connectionString"].replace("/postgres?", f"/{self._database}?"))
        delete(server, restored["id"])
        return took

    def _with(self, barman: Barman) -> Callable[[], float]:
        return lambda: self._by_hand(barman.restore, archived=False)

    def _by_hand(self, restore: Callable[[Path], None], *, archived: bool) -> float:
        """``archived``: whether the WAL has to be fetched by the server."""
        home = self._machine.directory("restored")
        began = time.perf_counter()
        restore(home / "data")
        with self._started(home, archived=archived) as target:
            self._first_query(f"{target} dbname=postgres")
            took = time.perf_counter() - began
            self._check(f"{target} dbname={self._database}")
        shutil.rmtree(home)
        return took

    def _untar(self, data: Path) -> None:
        self._unpack(data, "tar", "-xf", str(self._copies.plain / "base.tar"))

    def _untar_packed(self, data: Path) -> None:
        self._unpack(data, "tar", "--use-compress-program=zstd", "-xf", str(self._copies.packed / "base.tar.zst"))

    def _unpack(self, data: Path, *command: str) -> None:
        make = self._machine.dropped("mkdir", "-m", "0700", str(data))
        self._machine.run(make)
        self._machine.run(self._machine.dropped(*command, "-C", str(data)))

    @contextmanager
    def _started(self, home: Path, *, archived: bool) -> Iterator[str]:
        """A server as Howdah sets up its own, but for TLS."""
        data, port = home / "data", free_port()
        (home / "postgresql.conf").write_text(self._service.configuration)
        (home / "pg_hba.conf").write_text("local all all trust\n")
        settings = {
            "config_file": home / "postgresql.conf",
            "hba_file": home / "pg_hba.conf",
            "listen_addresses": "",
            "unix_socket_directories": home,
            "port": port,
            "wal_level": "logical",
            "summarize_wal": "on",
            "hot_standby": "off",
            # barman's has all of it in pg_wal.
            "restore_command": f"cp {self._wal}/%f %p" if archived else "",
            "ident_file": "",
        }
        if archived:
            self._machine.run(self._machine.dropped("touch", str(data / "recovery.signal")))
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        command = self._machine.program("postgres", "-D", data, *arguments)
        process = self._machine.spawn(command, self._machine.top / "restored.log")
        try:
            eventually("it is ready", lambda: is_ready(data) or process.poll() is not None, within=_LONGEST, every=0.01)
            if process.poll() is not None:
                raise SystemExit(f"the server did not start: {self._machine.top / 'restored.log'}")
            yield f"host={home} port={port} user=postgres"
        finally:
            end(process)

    # -- steps

    def _psql(self, target: str, query: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in self._machine.environment.items() if name != "PGSSLMODE"}
        command = self._machine.program("psql", "-XAtq", target, "-c", query)
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def _first_query(self, target: str) -> None:
        deadline = time.monotonic() + _LONGEST
        while (answer := self._psql(target, "select 1")).stdout != "1\n":
            if time.monotonic() > deadline:
                raise SystemExit(f"no query was answered: {answer.stderr}")
            time.sleep(0.02)

    def _check(self, target: str) -> None:
        answer = self._psql(target, _COUNT)
        assert answer.stdout == f"{self._rows}\n", (answer.stdout, answer.stderr, self._rows)
