"""A service with standbys, driven as its user drives it, and broken as machines break."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fixtures.server import Server, alive, eventually

from howdah.launcher.processes import all_pids, arguments_of

_MARK = "--howdah.instance="
_PORT = re.compile(r"--port=(\d+)")


@dataclass
class Postmaster:
    """One of its servers. ``instance``: its id."""

    instance: str
    pid: int
    port: int


@dataclass
class HaService:
    server: Server
    service: dict[str, Any]

    @property
    def id(self) -> str:
        return self.service["id"]

    def own(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self.server.client.request(method, f"/v1/howdah/services/{self.id}/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def members(self) -> list[dict[str, Any]]:
        return self.own("GET", "members")["members"]

    def changes(self) -> list[dict[str, Any]]:
        """Of its primary, the newest first."""
        return self.own("GET", "members")["primaryChanges"]

    def primary(self) -> Postmaster:
        (found,) = [one["id"] for one in self.members() if one["role"] == "primary"]
        return self.postmasters()[found]

    def standbys(self) -> list[Postmaster]:
        there = self.postmasters()
        return [there[one["id"]] for one in self.members() if one["role"] == "standby" and one["id"] in there]

    def postmasters(self) -> dict[str, Postmaster]:
        """By instance, of those that run."""
        members = {one["id"] for one in self.members()}
        return {found.instance: found for found in running_postmasters() if found.instance in members}

    def data(self, instance: str) -> Path:
        return self.server.state / "services" / self.id / instance / "data"

    def wait_until_healthy(self, standbys: int, *, within: float = 90) -> None:
        def healthy() -> bool:
            members = self.members()
            streaming = [one for one in members if one["state"] == "streaming" and one["canTakeOver"]]
            runs = self.server.get(self.id)["state"] == "running"
            return runs and len(streaming) == standbys and len(members) == standbys + 1

        with suppress(pytest.fail.Exception):  # It says nothing of the members.
            eventually("all members follow", healthy, within=within)
            return
        said = [line for line in self.server.log.splitlines() if '"request"' not in line][-30:]
        raise AssertionError("\n".join([f"not healthy: {self.members()}; {self.own('GET', 'health')}", *said]))

    def wait_until_streaming(self, instance: str) -> Postmaster:
        def streaming() -> Postmaster | None:
            states = {one["id"]: one["state"] for one in self.members()}
            return self.postmasters().get(instance) if states[instance] == "streaming" else None

        return eventually("it follows", streaming)

    def wait_for_change(self, number: int, *, within: float = 60) -> dict[str, Any]:
        """The newest change of the primary, once there are so many and clients get through."""

        def changed() -> dict[str, Any] | None:
            changes = self.changes()
            ready = self.server.get(self.id)["state"] == "running"
            complete = len(changes) >= number and changes[0]["firstWriteMs"] is not None
            return changes[0] if complete and ready else None

        return eventually(f"change {number} of the primary", changed, within=within)

    def sql(self, query: str, *parameters: object, host: str | None = None) -> list[tuple[Any, ...]]:
        with self.connect(host=host) as connection:
            cursor = connection.execute(query, parameters or None)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def directly(self, server: Postmaster, *, within: int = 5) -> psycopg.Connection[Any]:
        """To one of its servers, past the router."""
        return psycopg.connect(
            host="127.0.0.1",
            port=server.port,
            user="postgres",
            dbname="postgres",
            password=self.service["password"],
            sslmode="require",
            connect_timeout=within,
            autocommit=True,
        )

    def connect(self, host: str | None = None, **more: Any) -> psycopg.Connection[Any]:
        string = self.service["connectionString"]
        if host is not None:
            string = string.replace(self.service["hostname"], host)
        return psycopg.connect(string, autocommit=True, connect_timeout=20, **more)


def running_postmasters() -> list[Postmaster]:
    found: list[Postmaster] = []
    for pid in all_pids():
        arguments, mark = arguments_of(pid), _mark(pid)
        port = next((_PORT.fullmatch(one) for one in arguments if one.startswith("--port=")), None)
        if mark is None or port is None or not arguments[0].endswith("/bin/postgres") or not alive(pid):
            continue
        if mark != _mark(_parent(pid)):  # Else it is a process of one, that has not given itself a title yet.
            found.append(Postmaster(mark.removeprefix(_MARK), pid, int(port[1])))
    return found


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _mark(pid: int) -> str | None:
    return next((one for one in arguments_of(pid) if one.startswith(_MARK)), None)


def with_standbys(server: Server, ha_type: str, **fields: Any) -> HaService:
    """A new one, once all its standbys follow."""
    service = HaService(server, server.running(haType=ha_type, **fields))
    service.wait_until_healthy({"none": 0, "async": 1, "sync": 2}[ha_type])
    return service


@dataclass
class Writer:
    """Commits one row after another through the service's name, and remembers which were acknowledged."""

    service: HaService
    acknowledged: list[int] = field(default_factory=list[int])
    errors: list[str] = field(default_factory=list[str])
    longest_gap: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        number, last = 0, time.monotonic()
        while not self._stop.is_set():
            number += 1
            try:
                connection = connection or self.service.connect(options="-c statement_timeout=20000")
                connection.execute("INSERT INTO written VALUES (%s)", (number,))
            except psycopg.Error as error:
                self.errors.append(str(error).splitlines()[0] if str(error) else repr(error))
                if connection is not None:
                    with suppress(psycopg.Error):
                        connection.close()
                connection = None
                self._stop.wait(0.005)
                continue
            now = time.monotonic()
            self.longest_gap, last = max(self.longest_gap, now - last), now
            self.acknowledged.append(number)
        if connection is not None:
            connection.close()

    def stop(self) -> None:
        self._stop.set()

    def goes_on(self, *, within: float = 60) -> None:
        """Commits again."""
        before = len(self.acknowledged)
        eventually("commits go on", lambda: len(self.acknowledged) > before + 3, within=within)

    def missing(self) -> list[int]:
        """What was acknowledged and is not there."""
        there = {row[0] for row in self.service.sql("SELECT number FROM written")}
        return [number for number in self.acknowledged if number not in there]


@contextmanager
def writing(service: HaService) -> Generator[Writer]:
    """A client that writes all the time."""
    service.sql("CREATE TABLE IF NOT EXISTS written (number bigint PRIMARY KEY)")
    writer = Writer(service)
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        eventually("it writes", lambda: len(writer.acknowledged) > 10)
        yield writer
    finally:
        writer.stop()
        thread.join()


@dataclass
class Watch:
    """Asks every server all the time whether it takes writes: ``violations`` has each time that two did at once."""

    service: HaService
    violations: list[str] = field(default_factory=list[str])
    looks: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._stop.is_set():
            instances = {path.name for path in (self.service.server.state / "services" / self.service.id).iterdir()}
            # By instance: what one has forked may look as it does for a moment.
            servers = {one.instance: one for one in running_postmasters() if one.instance in instances}
            leaders = [one for one in servers.values() if self._leads(one)]
            # One may have ended, or stopped to lead, before the next was asked: only who still does counts.
            still = [one for one in leaders if self._leads(one)] if len(leaders) > 1 else []
            if len(still) > 1:
                self.violations.append(f"{[one.instance for one in still]} take writes at the same time")
            self.looks += 1
            self._stop.wait(0.01)

    def stop(self) -> None:
        self._stop.set()

    def _leads(self, server: Postmaster) -> bool:
        with (
            suppress(psycopg.Error),
            self.service.directly(server, within=2) as connection,
        ):
            return connection.execute("SELECT NOT pg_is_in_recovery()").fetchall()[0][0]
        return False


@contextmanager
def watched(service: HaService) -> Generator[Watch]:
    """Nobody may see two servers take writes meanwhile."""
    watch = Watch(service)
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join()
    assert watch.looks > 0
    assert not watch.violations, watch.violations


def end(postmaster: Postmaster) -> None:
    os.kill(postmaster.pid, signal.SIGKILL)


def suspend(postmaster: Postmaster) -> None:
    os.kill(postmaster.pid, signal.SIGSTOP)


def resume(postmaster: Postmaster) -> None:
    with suppress(ProcessLookupError):
        os.kill(postmaster.pid, signal.SIGCONT)
