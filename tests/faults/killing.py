"""A server that is killed at boundaries of its work, and what must be true once it has been started again."""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fixtures.server import NEW_SERVICE, Server, alive, eventually

from howdah.cli.processes import routers, servers
from howdah.domain.routes import decode_routes
from howdah.domain.settings import Settings
from howdah.launcher.layout import layout
from howdah.launcher.processes import all_pids, inspect_process, pids_of_user

INSTRUMENTED = str(Path(__file__).with_name("instrumented.py"))
MOST = 4
"""Services at a time, so that a kill costs the same after many."""

RUN = layout(Settings(state=Path("/")), privileged=os.geteuid() == 0).run


@dataclass(frozen=True)
class Boundary:
    """``role``: of the process that crosses it; ``at``: its number there, from 1."""

    role: str
    at: int
    what: str


class BoundaryServer(Server):
    """A server whose boundaries are counted, and which is killed at one when told so."""

    def __init__(self, state: Path) -> None:
        super().__init__(state, program=(INSTRUMENTED,))
        self._directory = state.with_name(f"{state.name}.boundaries")
        self._directory.mkdir(mode=0o755)
        self._crossings = self._directory / "log"
        self._crossings.touch()
        self._crossings.chmod(0o666)
        self._rounds = itertools.count(1)
        self._round = ""

    def order(self, role: str = "nobody", at: int = 0) -> None:
        """Count from here on, and kill the process of that role at its ``at``-th boundary."""
        self._round = str(next(self._rounds))
        aside = self._directory / "order.new"
        aside.write_text(f"{self._round} {role} {at}")
        aside.chmod(0o644)
        aside.rename(self._directory / "order")

    def crossed(self) -> list[Boundary]:
        """What has been crossed since the last order."""
        lines = [line.split(" ", 3) for line in self._crossings.read_text().splitlines()]
        return [Boundary(role, int(at), what) for round_, role, at, what in lines if round_ == self._round]

    def is_ready(self) -> bool:
        try:
            return self._client_of_this_start().get("/readyz").status_code == 200
        except (httpx.TransportError, FileNotFoundError, KeyError):
            return False

    def ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def end_and_restart(self) -> None:
        """Whatever is left of it is killed, and it is started again with no order."""
        (self._directory / "order").unlink()
        self.kill()
        self.start()

    def answered(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response | None:
        """The answer of a call that may be cut off; None when there is none."""
        try:
            return self.client.request(method, self.services + path, json=body)
        except httpx.TransportError:
            return None


@dataclass
class Life:
    """What a client knows of its services: what it asked for, and which of that was acknowledged."""

    server: BoundaryServer
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Services that exist for certain, as they were last shown."""
    used: set[str] = field(default_factory=set)
    names: Callable[[], int] = itertools.count(1).__next__

    def one(self) -> str:
        """A service to work on."""
        if not self.services:
            self.server.create()
            self.settle()
        return next(iter(self.services))

    def trim(self) -> None:
        """Leaves few of the services that creates have made."""
        if len(self.services) > MOST:
            for service in list(self.services)[1:]:
                self.server.call("DELETE", f"/{service}")
            self.settle()

    def settle(self) -> None:
        """Waits until each service runs and nothing else is there; then everything must agree."""

        def settled() -> bool:
            self.services = {found["id"]: found for found in self.server.call("GET", "")}
            return all(found["state"] == "running" for found in self.services.values())

        eventually("every service runs", settled, within=60)
        eventually("no directory is left over", lambda: not leftovers(self.server.state, set(self.services)))
        check(self.server, self.services)
        for service in list(self.services):
            self.services[service] = self.server.get(service)
            use(self.services[service], first=service not in self.used)
            self.used.add(service)


def leftovers(state: Path, services: set[str]) -> list[Path]:
    found = [home for home in state.glob("services/*") if home.is_dir() and home.name not in services]
    return found + list(state.glob("services/*/trash-*")) + list(state.glob("pool/*/taken-*"))


def check(server: Server, services: dict[str, dict[str, Any]]) -> None:
    """Store, disk, sockets, processes and routes hold these services, each once, and nothing else."""
    state = server.state
    with sqlite3.connect(f"file:{state / 'howdah.db'}?mode=ro", uri=True) as store:
        instances = store.execute(
            "select s.id, i.id, i.port, i.uid from services s left join instances i on i.service = s.id"
        ).fetchall()
        strays = store.execute("select count(*) from secrets where service not in (select id from services)").fetchone()
        names = store.execute("select hostname from hostnames order by 1").fetchall()
    store.close()
    assert len(instances) == len(services), instances
    assert all(row[1] for row in instances)
    assert strays == (0,)

    homes = [str(home) for home in state.glob("services/*/*")]
    assert sorted(Path(home).parent.name for home in homes) == sorted(services), homes
    links = {link: os.readlink(link) for link in RUN.glob("*.home") if os.readlink(link).startswith(f"{state}/")}
    assert sorted(links.values()) == sorted(homes)
    assert all(link.with_suffix("").is_dir() for link in links)

    found = servers(state)
    assert sorted(one.service for one in found) == sorted(services), "one postmaster each"
    assert len(routers(state)) == 1
    if os.geteuid() == 0:
        owned = [pid for _, _, _, uid in instances for pid in pids_of_user(uid) if alive(pid)]
        postmasters = {one.pid for one in found}
        assert all(pid in postmasters or parent(pid) in postmasters for pid in owned), "processes of nobody"
        assert len(launchers(state)) == 1

    routes = decode_routes((state / "routes.json").read_bytes())
    assert {route.service: (route.servers, str(route.state)) for route in routes} == {
        one.service: ((("127.0.0.1", int((one.data / "postmaster.pid").read_text().splitlines()[3])),), "open")
        for one in found
    }
    assert sorted(port for route in routes for _, port in route.servers) == sorted(port for _, _, port, _ in instances)
    assert sorted(name for route in routes for name in route.names) == [name for (name,) in names]
    assert {service["hostname"] for service in services.values()} <= {name for (name,) in names}


def launchers(state: Path) -> list[int]:
    arguments = {pid: facts.arguments for pid in all_pids() if (facts := inspect_process(pid)) is not None}
    return [pid for pid, words in arguments.items() if "--operator" in words and str(state) in words]


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def use(service: dict[str, Any], *, first: bool) -> None:
    """A client gets in by the shown string, and its row is there: made at the first use, found at all later ones."""
    with psycopg.connect(service["connectionString"], connect_timeout=10) as connection:
        if first:
            connection.execute("create table kept as select 1 as one")
        assert connection.execute("select count(*) from kept").fetchone() == (1,)


def refuse(service: dict[str, Any]) -> None:
    """The shown string no longer works, because of its password."""
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(service["connectionString"], connect_timeout=10)


# -- the operations: each asks, tells whether it was acknowledged, and returns what must be true afterwards

Check = Callable[[], None]


def create(life: Life) -> Check:
    before = set(life.services)
    answer = life.server.answered("POST", "", NEW_SERVICE)

    def after() -> None:
        new = set(life.services) - before
        if answer is not None and answer.status_code == 200:
            assert new == {answer.json()["result"]["id"]}
        assert len(new) <= 1, "made twice"

    return after


def rename(life: Life) -> Check:
    service, name = life.one(), f"renamed {life.names()}"
    before = life.services[service]
    answer = life.server.answered("PATCH", f"/{service}", {"name": name})

    def after() -> None:
        shown = life.services[service]
        assert shown["name"] in (before["name"], name)
        assert (shown["hostname"] == before["hostname"]) == (shown["name"] == before["name"])
        if answer is not None and answer.status_code == 200:
            assert shown["name"] == name

    return after


def password(life: Life) -> Check:
    service, new = life.one(), f"Given-Password-{life.names()}"
    before = life.services[service]
    answer = life.server.answered("PATCH", f"/{service}/password", {"password": new})

    def after() -> None:
        shown = life.services[service]
        assert shown["password"] in (before["password"], new)
        if answer is not None and answer.status_code in (200, 503):
            assert shown["password"] == new
        if shown["password"] == new:
            refuse(before)

    return after


def restart(life: Life) -> Check:
    service = life.one()
    before = life.server.postmaster(service)
    answer = life.server.answered("PATCH", f"/{service}/state", {"command": "restart"})

    def after() -> None:
        if answer is not None and answer.status_code == 200:
            assert life.server.postmaster(service) != before

    return after


def delete(life: Life) -> Check:
    service = life.one()
    postmaster, port = life.server.postmaster(service), _port(life.server, service)
    answer = life.server.answered("DELETE", f"/{service}")

    def after() -> None:
        if service in life.services:
            assert answer is None, "acknowledged and lost"
            return
        assert not alive(postmaster)
        assert port not in {_port(life.server, other) for other in life.services}

    return after


def start(life: Life) -> Check:
    postmasters = sorted(life.server.postmasters())
    life.server.kill()
    life.server.spawn()
    eventually("it is ready or killed", lambda: life.server.ended() or life.server.is_ready(), within=60)

    def after() -> None:
        assert sorted(life.server.postmasters()) == postmasters

    return after


def _port(server: Server, service: str) -> str:
    (pidfile,) = server.state.glob(f"services/{service}/*/data/postmaster.pid")
    return pidfile.read_text().splitlines()[3]


OPERATIONS: dict[str, Callable[[Life], Check]] = {
    operation.__name__: operation for operation in (create, rename, password, restart, delete, start)
}
