"""As root: who runs as whom, and that each part may end without taking another's rights or work with it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from fixtures.psql import psql
from fixtures.server import Server, alive, eventually, kill_and_wait

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has no launcher beside it")


def user_of(pid: int) -> str:
    return subprocess.run(
        ["ps", "-o", "user=", "-p", str(pid)], capture_output=True, text=True, check=True
    ).stdout.strip()


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def launcher_of(server: Server) -> int:
    """The launcher of a server, by the state directory on its command line."""
    found = subprocess.run(
        ["pgrep", "-f", f"howdah.launcher --state {server.state} "], capture_output=True, text=True, check=True
    )
    return int(found.stdout)


def test_only_the_launcher_is_root(shared_server: Server) -> None:
    service = shared_server.running()
    assert shared_server.process is not None
    control, router, postmaster = (
        shared_server.process.pid,
        shared_server.router(),
        shared_server.postmaster(service["id"]),
    )
    assert [user_of(pid) for pid in (launcher_of(shared_server), control, router)] == ["root", "howdah", "howdah"]
    assert 270000 <= int(status_of(postmaster)["Uid"].split()[0]) < 280000
    for pid in (control, router, postmaster):
        status = status_of(pid)
        assert status["NoNewPrivs"] == "1", pid
        assert (status["CapEff"], status["CapPrm"]) == ("0" * 16, "0" * 16), pid
        assert "0" not in status["Groups"].split(), pid


def test_the_control_plane_cannot_replace_what_root_owns(shared_server: Server) -> None:
    service = shared_server.running()
    (home,) = shared_server.state.glob(f"services/{service['id']}/*")
    as_howdah = ["setpriv", "--reuid", "howdah", "--regid", "howdah", "--clear-groups"]
    for attempt in (
        ["mv", str(shared_server.state / "services"), str(shared_server.state / "elsewhere")],
        ["ln", "-s", "/etc", str(shared_server.state / "services" / "link")],
        ["mv", str(home), f"{home}-gone"],
        ["touch", str(home / "conf" / "postgresql.conf")],
        ["cat", str(home / "tls" / "server.pem")],
        ["ls", str(home / "data")],
        ["rm", "-rf", "/run/howdah"],
    ):
        done = subprocess.run([*as_howdah, *attempt], capture_output=True, text=True, check=False)
        assert done.returncode != 0, attempt
        assert "denied" in done.stderr or "not permitted" in done.stderr, done.stderr
    assert shared_server.get(service["id"])["state"] == "running"


@pytest.mark.fault(
    what="kill -9 of the launcher, the process with root's rights",
    then="the control plane says so and ends; servers and sessions go on, and the next start takes them over",
)
def test_a_killed_launcher_ends_the_control_plane_and_nothing_else(server: Server, any_psql: str) -> None:
    service = server.running()
    postmaster = server.postmaster(service["id"])
    assert server.process is not None
    kill_and_wait(launcher_of(server))
    assert server.process.wait(20) == 1
    assert "the launcher, Howdah's process with root's rights, has ended" in server.log
    assert psql(any_psql, service["connectionString"], "-c", "select 1").stdout == "1\n"
    server.start()
    assert server.get(service["id"])["state"] == "running"
    assert server.postmaster(service["id"]) == postmaster


def test_the_launcher_ends_with_its_control_plane_however_that_ends(server: Server) -> None:
    assert server.process is not None
    for end in (signal.SIGKILL, signal.SIGTERM):
        launcher = launcher_of(server)
        server.process.send_signal(end)
        server.process.wait(30)
        eventually("the launcher has ended", lambda pid=launcher: not alive(pid))
        server.start()


def test_signals_of_a_terminal_leave_the_launcher_alone(shared_server: Server) -> None:
    launcher = launcher_of(shared_server)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(launcher, number)
    service = shared_server.running()
    assert launcher_of(shared_server) == launcher
    shared_server.call("DELETE", f"/{service['id']}")
    shared_server.wait_until_gone(service["id"])


def test_a_state_directory_from_before_the_separation_is_handed_over(server: Server) -> None:
    """All of it was root's: the store, the keys, the logs."""
    service = server.running()
    server.stop_everything()
    for path in (server.state, *server.state.iterdir()):
        if path.name != "services":
            subprocess.run(["chown", "-hR" if path != server.state else "-h", "0:0", str(path)], check=True)
    server.state.chmod(0o711)
    server.start()
    assert server.wait_until(service["id"], "running")["hostname"] == service["hostname"]
    assert (server.state / "howdah.db").owner() == "howdah"
