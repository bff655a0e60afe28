"""High availability and read replicas through the API: what is accepted, what is shown, what is refused and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from api.client import Client, eventually
from api.fake_engine import FakeEngine
from howdah.control import members
from howdah.domain.failovers import ChangeKind, RoleChange
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Role as MemberRole
from howdah.domain.members import MemberState, MemberStatus
from howdah.domain.organizations import Role
from howdah.store import role_changes


def own(service: str) -> str:
    return f"/v1/howdah/services/{service}"


async def replica_of(client: Client, service: str, **more: object) -> dict[str, Any]:
    made = await client.result("POST", f"{client.services}/{service}/readReplica", json={"name": "reader", **more})
    return await client.in_state(made["id"], "running")


@pytest.mark.parametrize("ha_type", ["async", "sync"])
async def test_a_service_can_be_created_with_standbys(client: Client, ha_type: str) -> None:
    created = await client.create(haType=ha_type)
    assert created["haType"] == ha_type
    assert (await client.in_state(created["id"], "running"))["haType"] == ha_type


async def test_the_ha_type_of_a_running_service_changes_without_interrupting_it(client: Client) -> None:
    running = await client.running()
    url = f"{client.services}/{running['id']}"
    for ha_type in ("sync", "async", "none", "none"):
        changed = await client.result("PATCH", url, json={"haType": ha_type})
        assert (changed["haType"], changed["state"]) == (ha_type, "running")
        assert (await client.result("GET", url))["haType"] == ha_type


async def test_another_size_is_shown_at_once_with_its_storage_and_takes_a_restart(
    client: Client, engine: FakeEngine
) -> None:
    running = await client.running()
    url = f"{client.services}/{running['id']}"
    engine.held = True
    changed = await client.result("PATCH", url, json={"size": "r8gd.xlarge", "haType": "async"})
    assert (changed["size"], changed["storageSize"], changed["haType"]) == ("r8gd.xlarge", 237, "async")
    assert changed["state"] == "restarting"
    engine.held = False
    await client.in_state(running["id"], "running")


async def test_a_smaller_size_is_refused_when_what_is_stored_would_fill_it(client: Client, engine: FakeEngine) -> None:
    running = await client.running(size="r8gd.xlarge")
    url = f"{client.services}/{running['id']}"
    engine.stored = 95 << 30
    status, said = await client.refusal("PATCH", url, json={"size": "r8gd.large"})
    assert status == 400
    assert said == ("BAD_REQUEST: size r8gd.large has 118 GiB, and what is stored, 95.0 GiB, is more than 80% of that")
    engine.stored = 94 << 30
    assert (await client.result("PATCH", url, json={"size": "r8gd.large"}))["storageSize"] == 118


async def test_members_and_changes_of_the_primary_are_shown(client: Client, engine: FakeEngine) -> None:
    running = await client.running(haType="sync")
    one, two = InstanceId.new(), InstanceId.new()
    engine.member_list = [
        MemberStatus(one, MemberRole.PRIMARY, MemberState.RUNNING, joined=True),
        MemberStatus(
            *(two, MemberRole.STANDBY, MemberState.STREAMING),
            joined=True,
            acknowledges=True,
            received="0/3000060",
            replayed="0/3000028",
            lag_bytes=56,
        ),
    ]
    change = RoleChange(
        UUID(int=7),
        ServiceId.parse(running["id"]),
        datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC),
        *(ChangeKind.FAILOVER, "the server was killed by SIGKILL", two, one, "0/3000028", 0, 12.5, 3.0, 41.0, 60.5),
    )
    await client.plane.store.write(lambda connection: role_changes.put(connection, change))
    found = await client.result("GET", f"{own(running['id'])}/members")
    assert [(one["id"], one["role"], one["lagBytes"]) for one in found["members"]] == [
        (one.ubid, "primary", None),
        (two.ubid, "standby", 56),
    ]
    assert found["primaryChanges"] == [
        {
            "id": str(UUID(int=7)),
            "at": "2026-03-04T05:06:07.890Z",
            "kind": "failover",
            "cause": "the server was killed by SIGKILL",
            "from": two.ubid,
            "to": one.ubid,
            "lsn": "0/3000028",
            "lostBytes": 0,
            "detectionMs": 12.5,
            "fencingMs": 3.0,
            "promotionMs": 41.0,
            "firstWriteMs": 60.5,
        }
    ]


async def test_a_switchover_that_no_standby_can_take_changes_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "SWITCHOVER_SECONDS", 0.2)
    running = await client.running(haType="async")
    status, said = await client.refusal(
        "PATCH", f"{client.services}/{running['id']}/state", json={"command": "switchover"}
    )
    assert status == 503
    assert said.startswith("UNAVAILABLE: no standby could take over within")
    assert said.endswith("nothing was changed")
    assert (await client.result("GET", f"{client.services}/{running['id']}"))["state"] == "running"


async def test_accepting_a_loss_is_for_services_without_a_primary(client: Client, engine: FakeEngine) -> None:
    single = (await client.running())["id"]
    accept = {"acceptDataLoss": True}
    assert await client.refusal("POST", f"{own(single)}/failover", json=accept) == (
        400,
        "BAD_REQUEST: a failover needs standbys, and the haType of this service is none",
    )
    double = (await client.running(haType="sync"))["id"]
    status, said = await client.refusal("POST", f"{own(double)}/failover", json=accept)
    assert (status, said.partition(":")[0]) == (409, "CONFLICT")
    assert (await client.refusal("POST", f"{own(double)}/failover", json={"acceptDataLoss": False}))[0] == 400
    engine.reason = "the data directory of the primary is gone, and no standby lets clients in"
    await client.result("PATCH", f"{client.services}/{double}/state", json={"command": "restart"})
    await client.in_state(double, "unavailable")
    assert (await client.result("POST", f"{own(double)}/failover", json=accept))["id"] == double


async def test_a_read_replica_is_a_service_of_its_own_like_its_primary(client: Client) -> None:
    primary = await client.running(tags=[{"key": "a"}], postgresVersion="18")
    made = await client.result("POST", f"{client.services}/{primary['id']}/readReplica", json={"name": "reader"})
    same = ("provider", "region", "size", "storageSize", "postgresVersion", "tags", "password")
    assert {field: made[field] for field in same} == {field: primary[field] for field in same}
    assert (made["name"], made["isPrimary"], made["haType"], made["state"]) == ("reader", False, "none", "creating")
    assert made["hostname"].startswith("reader-")
    assert made["id"] in made["hostname"]
    replica = await client.in_state(made["id"], "running")
    assert replica["isPrimary"] is False
    assert [one["isPrimary"] for one in await client.result("GET", client.services)] == [True, False]
    tagged = await replica_of(client, primary["id"], tags=[{"key": "b", "value": "1"}])
    assert tagged["tags"] == [{"key": "b", "value": "1"}]


async def test_a_read_replica_follows_its_primary_where_it_must(client: Client) -> None:
    primary = await client.running()
    replica = await replica_of(client, primary["id"])
    url = f"{client.services}/{replica['id']}"
    for body, said in (
        ({"size": "r8gd.xlarge"}, "the size of a read replica is that of its primary"),
        ({"haType": "async"}, "haType cannot change: a read replica has no standbys"),
    ):
        status, error = await client.refusal("PATCH", url, json=body)
        assert (status, said in error) == (400, True), error
    status, error = await client.refusal("PATCH", f"{url}/password", json={})
    assert (status, "is its primary's" in error or "that of its primary" in error) == (400, True), error
    assert (await client.result("PATCH", url, json={"name": "renamed", "tags": []}))["name"] == "renamed"
    await client.result("PATCH", f"{client.services}/{primary['id']}/password", json={"password": "Another-Secret-99"})
    assert (await client.result("GET", url))["password"] == "Another-Secret-99"
    await client.result("PATCH", f"{client.services}/{primary['id']}", json={"size": "r8gd.xlarge"})
    assert (await client.result("GET", url))["size"] == "r8gd.xlarge"


async def test_a_replica_has_no_replicas_and_a_primary_at_most_five(client: Client) -> None:
    primary = (await client.running())["id"]
    replicas = [await replica_of(client, primary) for _ in range(5)]
    status, said = await client.refusal("POST", f"{client.services}/{primary}/readReplica", json={"name": "sixth"})
    assert (status, "has 5 read replicas" in said) == (400, True)
    status, said = await client.refusal(
        "POST", f"{client.services}/{replicas[0]['id']}/readReplica", json={"name": "second degree"}
    )
    assert (status, f"make one of its primary, {primary}" in said) == (400, True)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "name is missing"),
        ({"name": ""}, "name is empty"),
        ({"name": "x", "pgConfig": {"a": "b"}}, "pgConfig is not yet supported"),
        ({"name": "x", "size": "r8gd.large"}, "size"),
        ({"name": "x", "tags": [{"key": "chc_a"}]}, "reserved"),
    ],
)
async def test_a_replica_that_breaks_a_rule_is_refused(client: Client, body: dict[str, object], said: str) -> None:
    primary = (await client.running())["id"]
    status, error = await client.refusal("POST", f"{client.services}/{primary}/readReplica", json=body)
    assert (status, said in error) == (400, True), error
    assert len(await client.result("GET", client.services)) == 1


async def test_a_primary_with_replicas_stays_until_they_are_gone(client: Client) -> None:
    primary = (await client.running())["id"]
    replicas = [(await replica_of(client, primary))["id"] for _ in range(2)]
    status, said = await client.refusal("DELETE", f"{client.services}/{primary}")
    assert status == 409
    assert "2 dependent read replicas" in said
    assert all(replica in said for replica in replicas)
    await client.result("DELETE", f"{client.services}/{replicas[0]}")
    promoted = await client.result("PATCH", f"{client.services}/{replicas[1]}/state", json={"command": "promote"})
    assert promoted["isPrimary"] is True
    await client.result("DELETE", f"{client.services}/{primary}")
    await eventually("the primary is gone", lambda: client.plane.services.list(client.organization)[0].is_primary)


async def test_who_may_only_read_changes_no_members(client: Client) -> None:
    primary = (await client.running(haType="async"))["id"]
    reader = await client.with_key(Role.QUERY_ENDPOINTS)
    assert (await reader.result("GET", f"{own(primary)}/members"))["primaryChanges"] == []
    for path, body in (
        (f"{client.services}/{primary}/readReplica", {"name": "x"}),
        (f"{own(primary)}/failover", {"acceptDataLoss": True}),
    ):
        assert (await reader.refusal("POST", path, json=body))[0] == 403
