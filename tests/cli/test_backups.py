"""Backups and restorations by the command line, against a real server that archives."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fixtures.command import howdah
from fixtures.server import Server, eventually


@pytest.fixture(scope="module")
def archiving() -> Iterator[Server]:
    """A server whose services are archived, as they are by default."""
    top = Path(tempfile.mkdtemp(prefix="hwd-"))
    top.chmod(0o755)
    one = Server(top / "state", env={"HOWDAH_BACKUP_ARCHIVE": str(top / "state" / "archive")}).start()
    yield one
    one.stop_everything()
    shutil.rmtree(top)


@pytest.fixture(scope="module")
def service(archiving: Server) -> dict[str, Any]:
    """One that can be restored."""
    made = archiving.running(name="shop", tags=[{"key": "team", "value": "db"}])
    return eventually("it can be restored", lambda: _with_window(archiving, made["id"]))


def _with_window(server: Server, service: str) -> dict[str, Any] | None:
    found = server.get(service)
    return found if "earliestRestoreTime" in found else None


def result(server: Server, *arguments: str) -> Any:
    ran = howdah(*arguments, "--json", state=server.state)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_backups_are_listed_with_what_can_be_restored(archiving: Server, service: dict[str, Any]) -> None:
    shown = result(archiving, "backups", "list", service["id"])
    assert shown["earliestRestoreTime"] == service["earliestRestoreTime"]
    full = shown["backups"][-1]
    said = howdah("backups", "list", "shop", state=archiving.state)
    assert said.returncode == 0, said.stderr
    head, *_, first, window = said.stdout.splitlines()
    assert head.split() == ["KEY", "KIND", "STATUS", "FINISHED", "SIZE", "PARENT"]
    assert re.split(r" {2,}", first) == [
        *(full["key"], "full", "completed", full["finishedAt"]),
        *(f"{full['storedBytes'] / (1 << 20):.1f} MiB", "-"),
    ]
    assert re.fullmatch(rf"earliest restore time {service['earliestRestoreTime']}; latest WAL \S+Z; no gaps", window)


def test_a_backup_is_waited_for_until_it_answers(archiving: Server, service: dict[str, Any]) -> None:
    ran = howdah("backups", "create", "shop", "--json", state=archiving.state)
    assert ran.returncode == 0, ran.stderr
    taken = json.loads(ran.stdout)
    assert f"{service['id']}: backed up (" in ran.stderr
    assert taken["request"] == 1
    shown = howdah("backups", "create", "shop", state=archiving.state)
    assert (shown.returncode, re.findall(r"^request +(.*)$", shown.stdout, re.MULTILINE)) == (0, ["2"])
    listed = result(archiving, "backups", "list", "shop")["backups"]
    assert taken in listed
    assert [one["request"] for one in listed] == [2, 1, 0]


def test_a_backup_that_nobody_waits_for_is_taken_all_the_same(archiving: Server, service: dict[str, Any]) -> None:
    asked = result(archiving, "backups", "create", "shop", "--no-wait")
    said = howdah("backups", "create", "shop", "--no-wait", state=archiving.state)
    assert (said.returncode, said.stdout) == (0, "")
    assert f"{service['id']}: the backup stays wanted; howdah backups list {service['id']} shows it" in said.stderr
    eventually("it is taken", lambda: _answered(archiving, service["id"], asked["request"]))


def _answered(server: Server, service: str, request: int) -> bool:
    return any(one["request"] >= request for one in result(server, "backups", "list", service)["backups"])


@pytest.mark.long
def test_the_end_of_the_waiting_is_not_the_end_of_the_backup(archiving: Server) -> None:
    held = archiving.running(name="held")
    eventually("it can be restored", lambda: _with_window(archiving, held["id"]))
    postmaster = archiving.postmaster(held["id"])
    os.kill(postmaster, signal.SIGSTOP)
    try:
        late = howdah("backups", "create", "held", "--timeout", "0.2", state=archiving.state)
        interrupted = _interrupted_once_it_waits(archiving, "backups", "create", "held")
    finally:
        os.kill(postmaster, signal.SIGCONT)
    assert late.returncode == 1
    assert f"howdah: {held['id']} is not backed up after 0.2 s: " in late.stderr
    assert interrupted.returncode == 130
    for ran in (late, interrupted):
        assert f"{held['id']}: the backup stays wanted; howdah backups list {held['id']} shows it" in ran.stderr
    eventually("it is taken", lambda: _answered(archiving, held["id"], 1))


def _interrupted_once_it_waits(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "howdah", *arguments, "--state", str(server.state)]
    # A shell has what it starts in the background ignore it.
    command = ["env", "--default-signal=INT", *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        first = running.stderr.readline()
        running.send_signal(signal.SIGINT)
        said, more = running.communicate(timeout=30)
    return subprocess.CompletedProcess(command, running.returncode, said, first + more)


def query(service: dict[str, Any], sql: str) -> Any:
    """The first value that it gives, if it gives one."""
    with psycopg.connect(service["connectionString"], connect_timeout=10) as connection:
        cursor = connection.execute(sql)  # type: ignore[call-overload]
        found = cursor.fetchone() if cursor.description else None
    return None if found is None else found[0]


def test_a_service_is_restored_to_before_a_mistake(archiving: Server, service: dict[str, Any]) -> None:
    query(service, "CREATE TABLE orders AS SELECT 1 AS n")
    before = query(service, "SELECT clock_timestamp()").isoformat()
    query(service, "DROP TABLE orders")

    ran = howdah("services", "restore", "shop", "--name", "shop before", "--target", before, state=archiving.state)
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"^pg\w{24}: restoring_backup", ran.stderr, re.MULTILINE)
    assert re.search(r"^pg\w{24}: running \(", ran.stderr, re.MULTILINE)
    shown = result(archiving, "services", "get", "shop before")
    assert shown["connectionString"] in ran.stdout
    assert (shown["tags"], shown["password"]) == (service["tags"], service["password"])
    assert query(shown, "SELECT n FROM orders") == 1

    latest = result(archiving, "services", "restore", "shop", "--name", "now", "--tag", "a=b", "--tag", "c")
    assert (latest["state"], latest["tags"]) == ("running", [{"key": "a", "value": "b"}, {"key": "c"}])
    assert query(latest, "SELECT to_regclass('orders')") is None


@pytest.mark.long
def test_a_restoration_that_nobody_waits_for_goes_on(archiving: Server, service: dict[str, Any]) -> None:
    made = result(archiving, "services", "restore", service["id"], "--name", "later", "--no-wait")
    assert (made["name"], made["state"]) == ("later", "restoring_backup")
    late = howdah("services", "restore", service["id"], "--name", "late", "--timeout", "0", state=archiving.state)
    assert late.returncode == 1
    found = re.search(r"howdah: (pg\w{24}) is not restored after 0 s: restoring_backup", late.stderr)
    assert found is not None, late.stderr
    assert f"{found[1]} goes on being restored; howdah services get {found[1]} shows how far it is" in late.stderr
    for one in (made["id"], found[1]):
        archiving.wait_until(one, "running")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "yesterday"], "restoreTarget 'yesterday' is no moment; it must be like 2026-11-25T09:30:00Z or"),
        (["--target", "2020-01-01T00:00:00Z"], "Restore target must be between "),
        (["--name", "a/b"], "name has the character '/'"),
        (["--tag", "chc_x"], "tags[0].key 'chc_x' begins with 'chc_', which is reserved"),
    ],
)
def test_what_cannot_be_restored_is_refused_in_the_servers_words(
    archiving: Server, service: dict[str, Any], arguments: list[str], said: str
) -> None:
    command = ["services", "restore", service["id"], "--name", "x", *arguments]
    ran = howdah(*command, "--json", state=archiving.state)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert json.loads(ran.stderr)["error"].startswith(said)


def test_a_service_that_is_not_there_is_named_with_those_that_are(archiving: Server, service: dict[str, Any]) -> None:
    for command in (["backups", "list"], ["backups", "create"], ["services", "restore", "--name", "x"]):
        ran = howdah(*command, "nowhere", state=archiving.state)
        assert ran.returncode == 1
        assert re.match(rf"howdah: there is no service 'nowhere'; there are: .*{service['name']}", ran.stderr)


def test_without_backups_the_list_says_so_and_why(shared_server: Server) -> None:
    service = shared_server.running()["id"]
    for command in (["list"], ["create"]):
        ran = howdah("backups", *command, service, state=shared_server.state)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert ran.stderr == "howdah: backups are off on this server (backup.archive)\n"
    ran = howdah("services", "restore", service, "--name", "x", state=shared_server.state)
    assert (ran.returncode, "backups are off on this server (backup.archive)" in ran.stderr) == (1, True)
