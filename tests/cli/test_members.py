"""The servers of a service by the command line, against a real server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fixtures.command import howdah
from fixtures.server import Server


def result(server: Server, *arguments: str) -> Any:
    ran = howdah(*arguments, "--json", state=server.state)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_a_service_with_a_standby_its_switchover_and_the_way_back(shared_server: Server) -> None:
    state = shared_server.state
    made = howdah("services", "create", "twin", "--ha", "async", "--wait", state=state)
    assert made.returncode == 0, made.stderr
    shown = howdah("services", "members", "twin", state=state)
    head, primary, standby = (line.split() for line in shown.stdout.splitlines())
    assert head == ["ID", "ROLE", "STATE", "CAN", "TAKE", "OVER", "ACKNOWLEDGES", "REPLAYED", "LAG"]
    assert (primary[1:], standby[1:5]) == (["primary", "running", *"----"], ["standby", "streaming", "yes", "no"])
    assert shown.stderr == "the primary has never changed\n"

    assert result(shared_server, "services", "switchover", "twin")["state"] == "running"
    found = result(shared_server, "services", "members", "twin")
    (change,) = found["primaryChanges"]
    assert (change["kind"], change["from"], change["to"]) == ("switchover", primary[0], standby[0])
    shown = howdah("services", "members", "twin", state=state)
    members, changes = shown.stdout.split("\n\n")
    assert members.splitlines()[1].startswith(f"{standby[0]}  primary")
    assert changes.split()[:9] == ["AT", "KIND", "FROM", "TO", "LOST", "DETECTED", "FENCED", "PROMOTED", "FIRST"]
    (row,) = changes.splitlines()[1:]
    assert row.split()[1:6] == ["switchover", primary[0], standby[0], "0", "B"]
    assert row.endswith("it was asked for")

    refused = howdah("services", "failover", "twin", "--accept-data-loss", state=state)
    assert (refused.returncode, "it has a primary" in refused.stderr) == (1, True)
    single = result(shared_server, "services", "update", "twin", "--ha", "none", "--name", "single", "--wait")
    assert (single["haType"], single["name"]) == ("none", "single")
    assert len(result(shared_server, "services", "members", "single")["members"]) == 1
    refused = howdah("services", "switchover", "single", state=state)
    assert (refused.returncode, "needs high availability" in refused.stderr) == (1, True)


def test_a_read_replica_is_made_and_promoted(shared_server: Server) -> None:
    primary = shared_server.running(name="writer")
    made = result(shared_server, "services", "replica", "writer", "--name", "reader", "--tag", "a=b", "--wait")
    assert (made["isPrimary"], made["state"], made["tags"]) == (False, "running", [{"key": "a", "value": "b"}])
    (member,) = result(shared_server, "services", "members", "reader")["members"]
    assert (member["role"], member["state"]) == ("standby", "streaming")
    refused = howdah("services", "delete", "writer", state=shared_server.state)
    assert (refused.returncode, "dependent read replica" in refused.stderr) == (1, True)
    promoted = result(shared_server, "services", "promote", "reader", "--wait")
    assert (promoted["id"], promoted["isPrimary"], promoted["state"]) == (made["id"], True, "running")
    assert result(shared_server, "services", "delete", "writer", "--wait")["id"] == primary["id"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["failover", "x"], "failovers that lose nothing happen by themselves"),
        (["update", "x"], "nothing is to change; give --name, --size or --ha"),
        (["update", "x", "--ha", "quorum"], "'none', 'async', 'sync'"),
        (["create", "x", "--ha", "two"], "'none', 'async', 'sync'"),
        (["replica", "x"], "--name"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_wrong_command_line_has_status_2_and_says_what_is_right(command: list[str], said: str) -> None:
    ran = howdah("services", *command)
    assert (ran.returncode, said in ran.stderr) == (2, True), ran.stderr
