"""What befalls a state directory as a whole: a second control plane, a damaged store, a reboot of its machine."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from faults.killing import launchers
from faults.rebooting import reboot
from fixtures.command import howdah
from fixtures.server import Server, eventually

from howdah.cli.processes import routers, servers


def fill(service: dict[str, Any]) -> None:
    with psycopg.connect(service["connectionString"], connect_timeout=10) as connection:
        connection.execute("create table kept as select generate_series(1, 100)")


def count(service: dict[str, Any]) -> int:
    with psycopg.connect(service["connectionString"], connect_timeout=10) as connection:
        (found,) = connection.execute("select count(*) from kept").fetchone() or (0,)
        return found


def serve(server: Server) -> str:
    """The reason why a second ``howdah serve`` ends."""
    kept = {name: value for name, value in server.env.items() if name.startswith("HOWDAH_POSTGRES_")}
    ended = howdah("serve", "--state", str(server.state), "--api-port", "0", "--postgres-port", "0", **kept)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stderr


@pytest.mark.fault(
    what="A second control plane is started on the same state directory",
    then="It refuses and names the process of the first, which goes on unharmed",
)
def test_a_second_control_plane_refuses_and_leaves_the_first_alone(server: Server) -> None:
    service = server.running()
    fill(service)
    postmaster, router = server.postmaster(service["id"]), server.router()
    assert server.process is not None
    assert f"another Howdah (pid {server.process.pid}) serves {server.state}" in serve(server)
    assert server.client.get("/readyz").status_code == 200
    assert (server.postmaster(service["id"]), server.router()) == (postmaster, router)
    assert routers(server.state) == [router]
    if os.geteuid() == 0:
        eventually("one launcher is left", lambda: len(launchers(server.state)) == 1)
    server.call("PATCH", f"/{service['id']}", {"name": "still obeyed"})
    assert count(server.get(service["id"])) == 100


# -- a damaged store


def header(state: Path) -> None:
    with (state / "howdah.db").open("r+b") as file:
        file.write(os.urandom(100))


def page(state: Path) -> None:
    """Every page but the first few, so that the schema can still be read."""
    with (state / "howdah.db").open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(4096 * 4)
        file.write(os.urandom(size - 4096 * 4))


def log(state: Path) -> None:
    (state / "howdah.db-wal").write_bytes(os.urandom(8192))


def emptied(state: Path) -> None:
    (state / "howdah.db-wal").write_bytes(b"\x37\x7f\x06\x82" + os.urandom(8192))
    os.truncate(state / "howdah.db", 0)


def missing_table(state: Path) -> None:
    execute(state, "DROP TABLE instances")


def newer(state: Path) -> None:
    execute(state, "UPDATE alembic_version SET version_num = '9999'")


def execute(state: Path, statement: str) -> None:
    with closing(sqlite3.connect(state / "howdah.db", isolation_level=None)) as store:
        store.execute(statement)


DAMAGES: dict[Callable[[Path], None], str] = {
    header: "file is not a database",
    page: "is damaged",
    log: "is damaged: howdah.db-wal is not its log",
    emptied: "is damaged: it is empty, though its log is not",
    missing_table: "is damaged: the table instances is missing",
    newer: "was written by a newer Howdah (schema 9999",
}

MAY_CHANGE = {"lock", "howdah.db-shm", "services/.launcher"}
"""Who holds the directory, and memory that lies in a file."""


def everything(state: Path) -> dict[str, tuple[int, int, int, str]]:
    """Mode, owner and content of each file below the state directory, but for a log that is empty or not there."""
    found: dict[str, tuple[int, int, int, str]] = {}
    for path in sorted(state.rglob("*")):
        name, facts = str(path.relative_to(state)), path.lstat()
        if name in MAY_CHANGE or (name == "howdah.db-wal" and facts.st_size == 0):
            continue
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(facts.st_mode) else ""
        found[name] = (facts.st_mode, facts.st_uid, facts.st_gid, content)
    return found


@pytest.mark.fault(
    what="The store is damaged: its header, pages or log are overwritten, it is emptied, lacks a table, or is of a"
    " newer version",
    then="The control plane refuses to start, says why, and touches nothing; put back in order, everything is there",
)
@pytest.mark.parametrize("damages", [(page, missing_table), pytest.param(tuple(DAMAGES), marks=pytest.mark.long)])
def test_a_damaged_store_is_refused_and_nothing_is_touched(
    server: Server, damages: tuple[Callable[[Path], None], ...]
) -> None:
    service = server.running()
    fill(service)
    server.stop_everything()
    store = [file for file in server.state.glob("howdah.db*") if file.name != "howdah.db-shm"]
    good = {file: (file.read_bytes(), file.stat()) for file in store}
    for damage in damages:
        damage(server.state)
        for file in server.state.glob("howdah.db*"):
            os.chown(file, good[server.state / "howdah.db"][1].st_uid, good[server.state / "howdah.db"][1].st_gid)
        before = everything(server.state)
        assert DAMAGES[damage] in serve(server), damage.__name__
        assert everything(server.state) == before, damage.__name__
        assert (servers(server.state), routers(server.state)) == ([], [])
        for file in server.state.glob("howdah.db-*"):
            file.unlink()
        for file, (content, _) in good.items():
            file.write_bytes(content)
    server.start()
    server.wait_until(service["id"], "running")
    assert count(server.get(service["id"])) == 100


@pytest.mark.long
@pytest.mark.fault(
    what="The control plane dies and its store is damaged while services run",
    then="It refuses to start; services and their clients go on",
)
def test_services_go_on_beside_a_damaged_store(server: Server) -> None:
    service = server.running()
    fill(service)
    server.kill()
    kept = {file: file.read_bytes() for file in server.state.glob("howdah.db*")}
    log(server.state)
    assert DAMAGES[log] in serve(server)
    assert count(service) == 100
    for file, content in kept.items():
        file.write_bytes(content)
    server.start()
    assert server.get(service["id"])["state"] == "running"
    assert count(service) == 100


# -- a reboot


@pytest.mark.fault(
    what="The machine reboots: every process is gone, the directory for sockets is empty, pid files name other"
    " processes",
    then="With the control plane everything comes back by itself: the router on its port, every service with its data,"
    " by the same connection strings",
)
def test_everything_comes_back_after_a_reboot(server: Server) -> None:
    services = [server.running() for _ in range(3)]
    for service in services:
        fill(service)
    server.call("DELETE", f"/{services[2]['id']}")
    reboot(server)
    server.start()
    for service in services[:2]:
        shown = server.wait_until(service["id"], "running")
        assert shown["connectionString"] == service["connectionString"]
        assert count(service) == 100
    server.wait_until_gone(services[2]["id"])
    assert [shown["id"] for shown in server.call("GET", "")] == [service["id"] for service in services[:2]]
    assert len(server.postmasters()) == 2
