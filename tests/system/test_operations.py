"""docs/operations.md, obeyed: its blocks of shell are run as they stand.

``systemctl`` is a stand-in that starts and stops ``howdah serve`` as the unit would; everything else is real.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fixtures.server import Server, eventually, kill_and_wait

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"

SYSTEMCTL = r"""#!/bin/bash
stop() {
  kill "$(cat "$STATE/lock")"
  timeout 30 flock "$STATE/lock" true
}
start() {
  setsid "$PYTHON" -m howdah serve --state "$STATE" --api-port 0 --postgres-port "$ROUTER_PORT" \
    >>"$STATE.log" 2>&1 </dev/null &
  for _ in {1..600}; do
    curl -sf "$(sed -n 's/^API_URL=//p' "$STATE/bootstrap.env")/readyz" >/dev/null && return
    kill -0 $! 2>/dev/null || { tail -n 20 "$STATE.log" >&2; exit 1; }
    sleep 0.1
  done
  exit 1
}
case $1 in stop) stop ;; start) start ;; restart) stop && start ;; *) exit 2 ;; esac
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="works with the rights of other users: needs root")


def blocks(heading: str) -> list[str]:
    """The blocks of shell below a heading of the document."""
    parts = re.split(r"^#{2,3} (.+)$", DOCUMENT.read_text(), flags=re.MULTILINE)
    text = dict(zip(parts[1::2], parts[2::2], strict=True))[heading]
    return re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


class Operator:
    """Somebody at a shell of the machine, in a directory of their own."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.env = server.env | {
            "STATE": str(server.state),
            "HOWDAH_STATE": str(server.state),
            "PYTHON": sys.executable,
            "ROUTER_PORT": "0",
            "BINARIES": server.env["HOWDAH_POSTGRES_BINARIES"],
            "PATH": f"{directory / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        (directory / "bin").mkdir()
        for name, text in {
            "systemctl": SYSTEMCTL,
            "howdah": f'#!/bin/sh\nexec {sys.executable} -m howdah "$@"\n',
        }.items():
            (directory / "bin" / name).write_text(text)
            (directory / "bin" / name).chmod(0o755)

    def does(self, block: str, *, fails: bool = False, **env: str) -> str:
        """What the block said, on both streams."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=self.directory,
            env={name: value for name, value in (self.env | env).items() if name not in ("API_URL", "ORG_ID")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=150,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout
        self.server._client = None  # the API may listen elsewhere now
        return done.stdout


@pytest.fixture
def operator(server: Server) -> Iterator[Operator]:
    directory = Path(tempfile.mkdtemp(prefix="hwd-operator-"))
    directory.chmod(0o755)
    yield Operator(server, directory)
    shutil.rmtree(directory)


def rows(target: str) -> Any:
    with psycopg.connect(target) as connection:
        return connection.execute("SELECT count(*) FROM kept").fetchone()


def with_rows(server: Server, **fields: Any) -> dict[str, Any]:
    service = server.running(**fields)
    with psycopg.connect(service["connectionString"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 100)")
    return service


def test_every_block_of_the_document_is_run_by_a_test() -> None:
    here = Path(__file__).read_text()
    parts = re.split(r"^#{2,3} (.+)$", DOCUMENT.read_text(), flags=re.MULTILINE)
    headings = [heading for heading, text in zip(parts[1::2], parts[2::2], strict=True) if "```sh" in text]
    assert len(headings) >= 10
    assert [heading for heading in headings if f'blocks("{heading}")' not in here] == []


def test_upgrade(operator: Operator) -> None:
    server = operator.server
    service = with_rows(server)
    with psycopg.connect(service["connectionString"]) as session:
        for block in blocks("Upgrade"):
            operator.does(block)
        assert session.execute("SELECT count(*) FROM kept").fetchone() == (100,)
    assert server.wait_until(service["id"], "running")["connectionString"] == service["connectionString"]


def test_reboot(operator: Operator) -> None:
    server = operator.server
    service = with_rows(server)
    running = [server.router(), server.postmaster(service["id"])]
    server.kill()
    for pid in running:
        kill_and_wait(pid)
    (server.state / "howdah.db-shm").unlink(missing_ok=True)
    operator.does("systemctl start howdah")
    again = server.wait_until(service["id"], "running")
    assert rows(again["connectionString"]) == (100,)


def test_back_up_and_restore(operator: Operator) -> None:
    server = operator.server
    before = with_rows(server, name="before")
    (backup,) = blocks("Back up Howdah itself")
    (restore,) = blocks("Restore")
    assert "every password" in operator.does(backup)
    file = operator.directory / "howdah.backup"
    assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o600, os.geteuid())
    assert "is there already; name a new file" in operator.does(backup, fails=True)

    after = with_rows(server, name="after")
    after_server = server.postmaster(after["id"])
    server.call("PATCH", f"/{before['id']}/password", {"password": "Another-password-1"})
    said = operator.does(restore)
    assert "howdah.db.replaced-" in said
    assert server.wait_until(before["id"], "running")["connectionString"] == before["connectionString"]
    eventually("the password is the old one again", lambda: _opens(before["connectionString"]))
    assert rows(before["connectionString"]) == (100,)
    assert server.client.get(f"{server.services}/{after['id']}").status_code == 404
    assert list(server.state.glob(f"services/{after['id']}/*/data/PG_VERSION"))
    os.kill(after_server, 9)  # nobody manages it any more, neither does the end of this test


def _opens(target: str) -> bool:
    try:
        psycopg.connect(target).close()
    except psycopg.OperationalError:
        return False
    return True


def archive(*names: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as opened:
        for name in names:
            opened.addfile(tarfile.TarInfo(name))
    return content.getvalue()


@pytest.mark.long
def test_what_is_no_backup_is_refused_and_nothing_changes(operator: Operator) -> None:
    server = operator.server
    operator.does("howdah system backup good.backup")
    good = (operator.directory / "good.backup").read_bytes()
    (restore,) = blocks("Restore")
    refused = "systemctl stop howdah\n! howdah system restore howdah.backup 2>said\ncat said; systemctl start howdah"
    assert "howdah system restore howdah.backup" in restore
    store = (server.state / "howdah.db").stat().st_ino
    for wrong, said in (
        (good[: len(good) // 2], "or not a whole one"),
        (b"", "no backup of Howdah"),
        (archive("howdah.db", "etc/passwd"), "it has 'etc/passwd'"),
        (archive("howdah.db"), "it lacks secrets.key"),
        (good.replace(b"SQLite format 3", b"SQLite format X"), "cannot be opened: file is not a database"),
    ):
        (operator.directory / "howdah.backup").write_bytes(wrong)
        assert said in operator.does(refused)
        assert (server.state / "howdah.db").stat().st_ino == store
        assert not list(server.state.glob("*.restored*"))
    server.running()


def test_a_running_server_is_not_restored_under_its_feet(operator: Operator) -> None:
    operator.does("howdah system backup howdah.backup")
    said = operator.does("howdah system restore howdah.backup", fails=True)
    assert "another Howdah (pid" in said
    operator.server.running()


@pytest.mark.long
def test_move_to_another_machine(operator: Operator) -> None:
    server = operator.server
    service = with_rows(server)
    pack, unpack = blocks("Move to another machine")
    operator.does(pack)
    moved = Server(server.state.with_name("moved"), env={"HOWDAH_STATE": str(server.state.with_name("moved"))})
    operator.does(unpack, STATE=str(moved.state), HOWDAH_STATE=str(moved.state))
    try:
        again = moved.wait_until(service["id"], "running")
        assert rows(again["connectionString"]) == (100,)
        assert (again["password"], again["hostname"]) == (service["password"], service["hostname"])
        new = moved.running(name="new")
        assert _opens(new["connectionString"])
    finally:
        moved.stop_everything()


@pytest.mark.long
def test_rotate_the_secrets_key(operator: Operator) -> None:
    server = operator.server
    service = with_rows(server)
    (rotate,) = blocks("Rotate the secrets key")
    operator.does("howdah system backup howdah.backup")
    key = (server.state / "secrets.key").read_bytes()
    facts = (server.state / "secrets.key").stat()
    assert "5 secrets are sealed with the key" in operator.does(rotate)
    after = (server.state / "secrets.key").stat()
    assert (server.state / "secrets.key").read_bytes() != key
    assert (after.st_mode, after.st_uid) == (facts.st_mode, facts.st_uid)
    server.call("PATCH", f"/{service['id']}/password", {"password": "Another-password-1"})
    new = server.running(name="new")
    operator.does("systemctl restart howdah")
    assert server.get(service["id"])["password"] == "Another-password-1"
    assert server.get(new["id"])["password"] == new["password"]
    operator.does(blocks("Restore")[0])  # the key from before comes with the backup from before
    assert server.get(service["id"])["password"] == service["password"]
    for pid in server.postmasters():
        os.kill(pid, 9)


def test_the_control_plane_does_not_start(operator: Operator) -> None:
    server = operator.server
    service = with_rows(server)
    server.kill()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = operator.does(f"howdah serve --api-port {port}", fails=True)
    assert f"the API cannot listen on 127.0.0.1 port {port}: another program does" in said
    (block,) = blocks("… the control plane does not start")
    assert "control plane" in operator.does(f"{block.strip()} || true")
    assert rows(service["connectionString"]) == (100,)


@pytest.mark.long
def test_the_store_is_damaged(operator: Operator) -> None:
    server = operator.server
    service = with_rows(server)
    operator.does("howdah system backup howdah.backup\nsystemctl stop howdah")
    with (server.state / "howdah.db").open("r+b") as store:
        store.seek(4096)
        store.write(b"\xff" * 20_000)
    assert "is damaged" in operator.does("systemctl start howdah", fails=True)
    assert rows(service["connectionString"]) == (100,)
    stop, *rest = blocks("Restore")[0].splitlines()
    assert stop == "systemctl stop howdah"
    operator.does("\n".join(rest))
    assert server.wait_until(service["id"], "running")["connectionString"] == service["connectionString"]


@as_root
def test_a_tenant_broke_its_own_server(operator: Operator) -> None:
    server = operator.server
    service = with_rows(server)
    with psycopg.connect(service["connectionString"], autocommit=True) as connection:
        connection.execute("COPY (SELECT 1) TO PROGRAM 'mv global/pg_control moved_control'")
    kill_and_wait(server.postmaster(service["id"]))
    server.wait_until(service["id"], "unavailable")
    (why,) = blocks("… a service is unavailable")
    (mend,) = blocks("… a tenant broke its own server")
    eventually("it says why", lambda: "pg_control" in operator.does(why, SERVICE=service["id"]), every=0.2)
    operator.does(mend, SERVICE=service["id"])
    server.wait_until(service["id"], "running")
    assert rows(service["connectionString"]) == (100,)


@pytest.mark.long
def test_the_port_of_the_router_was_taken(operator: Operator) -> None:
    server = operator.server
    service = with_rows(server)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        wanted = holder.getsockname()[1]
        operator.does("systemctl restart howdah", ROUTER_PORT=str(wanted))
        assert f":{wanted}/" not in server.get(service["id"])["connectionString"]
    operator.does("systemctl restart howdah", ROUTER_PORT=str(wanted))
    assert f":{wanted}/" not in server.get(service["id"])["connectionString"]
    (block,) = blocks("… the router's port was taken")
    operator.does(block, ROUTER_PORT=str(wanted))
    target = server.get(service["id"])["connectionString"]
    assert f":{wanted}/" in target
    assert rows(target) == (100,)


def test_bootstrap_env_is_lost(operator: Operator) -> None:
    server = operator.server
    service = server.running()
    port = server.client.base_url.port
    (server.state / "bootstrap.env").unlink()
    said = operator.does("howdah services list", fails=True)
    assert "bootstrap.env is gone" in said
    assert "howdah keys create" in said
    (block,) = blocks("… bootstrap.env is lost")
    assert service["id"] in operator.does(block, API_PORT=str(port))


def test_the_secrets_key_is_lost(operator: Operator) -> None:
    server = operator.server
    service = with_rows(server)
    operator.does("howdah system backup howdah.backup\nsystemctl stop howdah")
    (server.state / "secrets.key").unlink()
    assert "secrets.key is missing" in operator.does("systemctl start howdah", fails=True)
    back, _ = blocks("… the secrets key is lost")
    operator.does(back)
    assert server.get(service["id"])["password"] == service["password"]


@as_root
def test_the_secrets_key_is_lost_for_good(operator: Operator) -> None:
    service = with_rows(operator.server)
    _, rescue = blocks("… the secrets key is lost")
    operator.does(rescue, SERVICE=service["id"])
    rescued = (operator.directory / "rescued.sql").read_text()
    assert "COPY public.kept" in rescued
    assert len(re.findall(r"^\d+$", rescued, flags=re.MULTILINE)) == 100
