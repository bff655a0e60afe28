"""Another version of Howdah takes over: sessions go on, and new ones are taken all the time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import psycopg
from fixtures.server import Server, eventually

from howdah import __version__


@contextlib.contextmanager
def clients_that_come_and_go(target: str) -> Generator[Callable[[], int]]:
    """Gives how many have come so far; fails when one of them was not served."""
    made = 0
    failed: list[Exception] = []
    done = threading.Event()

    def come_and_go() -> None:
        nonlocal made
        while not done.is_set():
            try:
                with psycopg.connect(target) as connection:
                    connection.execute("SELECT 1")
                made += 1
            except psycopg.Error as error:
                failed.append(error)

    client = threading.Thread(target=come_and_go)
    client.start()
    try:
        yield lambda: made
    finally:
        done.set()
        client.join()
    assert failed == []


def test_an_upgrade_drops_no_connection(server: Server) -> None:
    service = server.running()
    status_file = server.state / "router" / "status.json"
    with (
        psycopg.connect(service["connectionString"]) as session,
        clients_that_come_and_go(service["connectionString"]) as count,
    ):
        session.execute("CREATE TEMPORARY TABLE seen AS SELECT pg_backend_pid() AS backend")
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        without = count()
        eventually("somebody connects while no control plane runs", lambda: count() > without + 1)
        before = json.loads(status_file.read_text())
        status_file.write_text(json.dumps(before | {"version": "0.0.1"}))  # as an earlier version would have said
        server.start()
        now = json.loads(status_file.read_text())
        assert (now["pid"], now["port"], now["version"]) == (before["pid"], before["port"], __version__)
        assert now["started_at"] != before["started_at"]
        after = count()
        eventually("somebody connects after the upgrade", lambda: count() > after + 1)
        assert session.execute("SELECT backend = pg_backend_pid() FROM seen").fetchone() == (True,)
    assert server.get(service["id"])["state"] == "running"


def test_a_router_that_something_else_starts_waits_its_turn_and_is_adopted(server: Server) -> None:
    """What systemd does when the control plane was first."""
    service = server.running()
    first = server.router()
    environment = server.env | {"HOWDAH_ROUTER_PORT": "0"}
    prefix = ["setpriv", "--reuid=howdah", "--regid=howdah", "--clear-groups"] if os.geteuid() == 0 else []
    command = [*prefix, sys.executable, "-m", "howdah", "system", "router", "--state", str(server.state)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        try:
            assert f"another router runs already (pid {first})" in waiting.stderr.readline()
            server.kill()
            os.kill(first, signal.SIGKILL)
            eventually("it has taken over", lambda: server.router() == waiting.pid)
            server.start()
            assert server.router() == waiting.pid
            with psycopg.connect(service["connectionString"]) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            server.stop_everything()
        finally:
            waiting.kill()


def test_the_service_manager_is_told_when_it_is_ready(new_server: Callable[..., Server]) -> None:
    directory = Path(tempfile.mkdtemp(prefix="hwd-notify-"))
    directory.chmod(0o755)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(directory / "notify"))
            (directory / "notify").chmod(0o777)
            manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            manager.settimeout(60)
            server = new_server(env={"NOTIFY_SOCKET": str(directory / "notify")})
            said, ancillary, _, _ = manager.recvmsg(100, 100)
            pid = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
            assert server.process is not None
            assert (said, pid) == (b"READY=1", server.process.pid)
    finally:
        shutil.rmtree(directory)
