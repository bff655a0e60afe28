"""Servers as ``howdah serve`` starts them: with their limits, and within the egress rules."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fixtures.command import howdah
from fixtures.server import Server, alive, eventually, programs_of
from security.network import METADATA, THERE, Network, as_user

from howdah.launcher import egress
from howdah.launcher.processes import pids_of_user

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a network of its own"),
    pytest.mark.skipif(
        shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin:/bin") is None, reason="nft is not installed"
    ),
]


@pytest.fixture
def network() -> Generator[Network]:
    with Network().plugged_in() as network:
        for address in (THERE[0], METADATA[0]):
            network.listen_there(address, 80)
        yield network


@pytest.fixture
def server(network: Network) -> Generator[Server]:
    """In that network; its nftables are empty at first."""
    top = Path(tempfile.mkdtemp(prefix="hwd-"))
    top.chmod(0o755)
    one = Server(top / "state").start()
    yield one
    one.stop_everything()
    shutil.rmtree(top)


class Service:
    def __init__(self, server: Server) -> None:
        shown = server.running()
        self.id: str = shown["id"]
        self._string: str = shown["connectionString"]
        self._server = server

    @property
    def postmaster(self) -> int:
        return self._server.postmaster(self.id)

    @property
    def uid(self) -> int:
        return Path(f"/proc/{self.postmaster}").stat().st_uid

    @property
    def port(self) -> int:
        words = Path(f"/proc/{self.postmaster}/cmdline").read_text().split("\0")
        return next(int(word.removeprefix("--port=")) for word in words if word.startswith("--port="))

    def ask(self, *statements: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._string, autocommit=True, connect_timeout=20) as session:
            cursor = [session.execute(statement.encode()) for statement in statements][-1]
            return cursor.fetchall() if cursor.description else []

    def run(self, program: str) -> list[str]:
        """What a program prints that its superuser runs, by line."""
        quoted = program.replace("'", "''")
        copy = f"COPY said FROM PROGRAM '{quoted}'"
        return [line for (line,) in self.ask("CREATE TEMP TABLE said (line text)", copy, "TABLE said")]

    def reaches(self, address: str, port: int) -> bool:
        """Whether a program of its superuser can connect there."""
        connect = f"timeout 20 bash -c 'exec 3<>/dev/tcp/{address}/{port}' 2>/dev/null"
        return self.run(f"{connect} && echo yes || echo no") == ["yes"]


def router_port(server: Server) -> int:
    return int(json.loads((server.state / "router" / "status.json").read_text())["port"])


def api_port(server: Server) -> int:
    return int(server.credentials["API_URL"].rpartition(":")[2])


def test_a_superusers_programs_reach_itself_the_router_and_other_machines_only(server: Server) -> None:
    service, other = Service(server), Service(server)
    assert service.reaches("127.0.0.1", service.port)
    assert service.reaches("127.0.0.1", router_port(server))
    assert service.reaches(THERE[0], 80)
    assert not service.reaches("127.0.0.1", other.port)
    assert not service.reaches("127.0.0.1", api_port(server))
    assert not service.reaches(METADATA[0], 80)
    server.kill()
    server.start()
    assert not service.reaches("127.0.0.1", api_port(server))
    assert service.reaches("127.0.0.1", router_port(server))


def test_a_server_has_its_limits(server: Server) -> None:
    service = Service(server)
    lines = Path(f"/proc/{service.postmaster}/limits").read_text().splitlines()
    limits = {line[:26].strip(): line[26:].split()[:2] for line in lines}
    (connections,) = service.ask("SHOW max_connections")[0]
    assert limits["Max processes"] == [str(512 + 3 * int(connections))] * 2
    assert limits["Max open files"] == ["4096"] * 2
    assert limits["Max core file size"] == ["0"] * 2
    assert limits["Max data size"] != ["unlimited"] * 2
    assert Path(f"/proc/{service.postmaster}/oom_score_adj").read_text() == "500\n"


STRAY = 'setsid sh -c "cd /; trap : HUP INT QUIT TERM; while :; do sleep 100; done" >/dev/null 2>&1 &'


def test_rules_come_with_a_service_and_go_with_it_when_no_process_of_it_is_left(server: Server) -> None:
    service, other = Service(server), Service(server)
    other.run(STRAY)
    assert {service.uid, other.uid} <= egress.guarded()
    uid = service.uid
    server.call("DELETE", f"/{service.id}")
    server.wait_until_gone(service.id)
    assert uid not in egress.guarded()
    uid = other.uid
    assert uid in egress.guarded()
    assert "sh" in programs_of(pids_of_user(uid)).values()
    server.stop_everything()
    assert pids_of_user(uid) == []
    assert egress.guarded() == set()
    ruleset = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    assert "routers_" not in ruleset


def test_doctor_tells_of_servers_whose_rules_are_gone_and_a_restart_brings_them_back(server: Server) -> None:
    service = Service(server)
    said = howdah("doctor", state=server.state).stdout
    assert "ok    egress rules" in said
    assert "ok    launcher: API and router run as howdah" in said
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    said = howdah("doctor", state=server.state).stdout
    assert f"warn  egress rules: 1 servers run without them: {service.id}" in said
    before = service.postmaster
    server.call("PATCH", f"/{service.id}/state", {"command": "restart"})
    eventually("the old server has ended", lambda: not alive(before))
    server.wait_until(service.id, "running")
    assert "ok    egress rules" in howdah("doctor", state=server.state).stdout
    assert service.reaches("127.0.0.1", router_port(server))


def test_the_next_control_plane_brings_back_rules_that_a_firewalls_reload_removed(server: Server) -> None:
    service = Service(server)
    postmaster = service.postmaster
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    assert service.reaches("127.0.0.1", api_port(server))
    server.kill()
    server.start()
    assert not service.reaches("127.0.0.1", api_port(server))
    assert service.reaches("127.0.0.1", router_port(server))
    assert service.postmaster == postmaster, "the server went on"


def test_root_that_stops_what_an_ordinary_user_started_ends_nothing_else_of_that_user() -> None:
    user = 269_010
    with tempfile.TemporaryDirectory(prefix="hwd-") as top:
        os.chmod(top, 0o755)
        (Path(top) / "state" / "services" / "a" / "b" / "data").mkdir(parents=True)
        subprocess.run(["chown", "-R", f"{user}:{user}", f"{top}/state"], check=True)
        with subprocess.Popen(as_user(user, "sleep", "60")) as own:
            said = howdah("stop", state=Path(top) / "state")
            assert (said.returncode, own.poll()) == (0, None), said.stderr
            own.kill()


FILL = """
import os, signal, time
os.chdir("/")
while True:
    try:
        if os.fork() == 0:
            signal.pause()
    except BlockingIOError:
        time.sleep(0.001)
"""


def test_a_service_that_takes_all_its_processes_is_in_nobodys_way_and_a_restart_ends_them(server: Server) -> None:
    service, other = Service(server), Service(server)
    uid, before = service.uid, service.postmaster
    connections = int(service.ask("SHOW max_connections")[0][0])
    code = base64.b64encode(FILL.encode()).decode()
    fill = f"import base64; exec(base64.b64decode(b'{code}'))"
    service.run(f'setsid /usr/bin/python3 -c "{fill}" >/dev/null 2>&1 &')
    limit = 512 + 3 * connections
    eventually("all processes are taken", lambda: len(pids_of_user(uid)) > limit - 10)
    assert len(pids_of_user(uid)) <= limit
    assert other.ask("SELECT 1") == [(1,)]
    assert service.postmaster == before
    server.call("PATCH", f"/{service.id}/state", {"command": "restart"})
    eventually("the old server has ended", lambda: not alive(before))
    server.wait_until(service.id, "running")
    assert service.ask("SELECT 1") == [(1,)]
    assert "python3" not in programs_of(pids_of_user(uid)).values()
