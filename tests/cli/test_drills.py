"""Drills by the command line, against a real server that archives."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.command import howdah
from fixtures.server import Server, eventually

from howdah.backup.confined import can_confine
from howdah.launcher.processes import pids_in_directories

pytestmark = pytest.mark.skipif(not can_confine(), reason="this kernel has no Landlock, or it is switched off")


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
    made = archiving.running(name="shop")
    return eventually("it can be restored", lambda: _with_window(archiving, made["id"]))


def _with_window(server: Server, service: str) -> dict[str, Any] | None:
    found = server.get(service)
    return found if "earliestRestoreTime" in found else None


def test_a_drill_is_followed_to_its_end_and_kept(archiving: Server, service: dict[str, Any]) -> None:
    nothing = howdah("backups", "drills", "shop", state=archiving.state)
    assert (nothing.returncode, nothing.stderr) == (0, "no drills\n")
    assert re.fullmatch(r"next one \S+Z\n", nothing.stdout)

    ran = howdah("backups", "verify", "shop", state=archiving.state)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert f"{service['id']}: drilled (" in ran.stderr
    head, row, beside = ran.stdout.splitlines()
    assert beside.startswith("no rows compared: the service has no table with rows")
    assert head.split() == ["STARTED", "RESULT", "SECONDS", "SIZE", "CHECKED", "COMPARED", "RESTORED", "UNTIL"]

    shown = howdah("backups", "drills", service["id"], state=archiving.state)
    assert shown.stdout.splitlines()[:2] == [head, row]
    assert f"no rows compared of {re.split(r' {2,}', row)[0]}: the service has no table" in shown.stdout
    doctor = howdah("doctor", state=archiving.state).stdout
    assert re.search(r"ok +backups: the oldest last one is 0\.\d hours old \(shop\), .*, no gaps\n", doctor)
    verified = "the oldest last restore that was verified is 0.0 hours old (shop), all verified"
    assert f"drills: {verified}\n" in doctor
    kept = howdah("backups", "drills", "shop", "--json", state=archiving.state)
    (drill,) = json.loads(kept.stdout)["drills"]
    assert (drill["ok"], drill["problems"], drill["checksumsChecked"]) == (True, [], True)
    assert re.split(r" {2,}", row)[:2] == [drill["startedAt"], "ok"]


def test_problems_are_listed_and_the_command_fails(archiving: Server, service: dict[str, Any]) -> None:
    (base,) = (archiving.state / "archive").glob("*/base/*/base.tar.zst")
    whole = base.read_bytes()
    base.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    ran = howdah("backups", "verify", "shop", state=archiving.state)
    assert ran.returncode == 1
    assert f"{service['id']}: drilled, with problems (" in ran.stderr
    row, problem, beside = ran.stdout.splitlines()[1:]
    assert re.split(r" {2,}", row)[1] == "FAILED"
    assert beside == "no rows compared: nothing was restored"
    assert re.fullmatch(r"problem: \S+/base.tar.zst is damaged \(its SHA-256 .*", problem)
    told = archiving.activities(service["id"], "drill_end")
    assert f"it found: {problem.removeprefix('problem: ')[:100]}" in told[0]["changes"]
    assert ", all is well: " in told[-1]["changes"]
    assert "; no rows compared: the service has no table" in told[-1]["changes"]
    shown = howdah("backups", "drills", "shop", state=archiving.state).stdout
    assert shown.count(f"{problem.removeprefix('problem: ')}\n") == 1

    eventually("a full one is there instead", lambda: _kinds(archiving) == ["full", "full"])
    again = howdah("backups", "verify", "shop", "--json", state=archiving.state)
    assert (again.returncode, json.loads(again.stdout)["problems"]) == (0, [])


def _kinds(server: Server) -> list[str]:
    shown = howdah("backups", "list", "shop", "--json", state=server.state)
    return [base["kind"] for base in json.loads(shown.stdout)["backups"]]


@pytest.mark.long
def test_a_drill_that_nobody_waits_for_goes_on(archiving: Server, service: dict[str, Any]) -> None:
    begun = howdah("backups", "verify", "shop", "--no-wait", "--json", state=archiving.state)
    said = howdah("backups", "verify", "shop", "--no-wait", state=archiving.state)
    assert begun.returncode == said.returncode == 0
    assert f"{service['id']}: the drill goes on; howdah backups drills {service['id']} shows what it" in said.stderr
    started = json.loads(begun.stdout)["startedAt"]
    eventually("it is done", lambda: started in _kept(archiving))


def _kept(server: Server) -> list[str]:
    shown = howdah("backups", "drills", "shop", "--json", state=server.state)
    return [drill["startedAt"] for drill in json.loads(shown.stdout)["drills"]]


@pytest.mark.long
def test_a_killed_server_leaves_nothing_of_a_drill(archiving: Server, service: dict[str, Any]) -> None:
    place = str(archiving.state / "pool" / "drills")
    asked = howdah("backups", "verify", "shop", "--no-wait", state=archiving.state)
    assert asked.returncode == 0, asked.stderr
    eventually("a restored server runs", lambda: pids_in_directories([place]), every=0.002)
    archiving.kill()
    eventually("it has ended too", lambda: not pids_in_directories([place]))
    archiving.start()
    assert list(Path(place).glob("*")) == []
    again = howdah("backups", "verify", service["id"], state=archiving.state)
    assert again.returncode == 0, again.stderr
