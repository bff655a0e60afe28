"""Metrics in Prometheus' text format, of one service and of all of an organization."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from api.client import Client
from api.fake_engine import FakeEngine
from howdah.backup.errors import DamageError
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.metrics import Follower, ServerMetrics, Statistics
from howdah.domain.organizations import ApiVersion, Role
from howdah.domain.states import ServiceState

STATISTICS = Statistics(
    connections={"active": 1, "idle": 4}, max_connections=100, blocks_hit=75, blocks_read=25, reads=1, writes=2,
    fetched=3, inserted=4, updated=5, deleted=6, committed=7, rolled_back=8, deadlocks=9, wal_bytes=10,
    oldest_transaction=1.5, transactions_left=11, slots={}, databases={'a"b\\c\nd': 13}, stored_bytes=1 << 30,
)  # fmt: skip


async def scrape(
    client: Client, service: str | None = None, **more: Any
) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Labels and values by name."""
    path = f"{client.services}/{service}/prometheus" if service else f"{client.services}/prometheus"
    answer = await client.send("GET", path, **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=UTF-8"
    return {
        family.name: [(sample.labels, sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(answer.text)
    }


async def test_a_service_says_whose_it_is_with_every_sample(client: Client, engine: FakeEngine) -> None:
    engine.measured = ServerMetrics(statistics=STATISTICS)
    service = await client.running(name="orders")
    found = await scrape(client, service["id"])
    of = {
        "clickhouse_org": str(client.organization),
        "postgres_service": service["id"],
        "postgres_service_name": "orders",
    }
    for samples in found.values():
        assert all(labels.items() >= of.items() for labels, _ in samples)
    assert found["PostgresServiceInfo"] == [(of | {"postgres_status": "running", "postgres_version": "17"}, 1)]
    assert found["PostgresServer_CPUCores"] == [(of, 2)]
    assert found["PostgresServer_ActiveConnections"] == [(of | {"state": "active"}, 1), (of | {"state": "idle"}, 4)]
    assert found["PostgresServer_DatabaseSizeBytes"] == [(of | {"database": 'a"b\\c\nd'}, 13)]
    assert found["howdah_up"] == [(of, 1)]


async def test_ids_are_those_of_the_version_in_force(client: Client) -> None:
    service = (await client.running())["id"]
    uuid = str(ServiceId.parse(service).uuid)
    beta = await client.with_key(Role.DEVELOPER, ApiVersion.BETA)
    ids = [(await scrape(one, service))["howdah_up"][0][0]["postgres_service"] for one in (client, beta)]
    assert ids == [service, uuid]


async def test_all_services_of_the_organization_and_no_others_are_told_of(client: Client) -> None:
    other = await client.plane.access.create_organization("Theirs")
    key, secret = await client.plane.access.create_key(other.id, name="k", role=Role.ADMIN, api_version=None)
    theirs = replace(client, organization=other.id, auth=(key.key_id, secret))
    await theirs.running(name="theirs")
    for name in ("one", "two"):
        await client.running(name=name)
    found = await scrape(client)
    assert [labels["postgres_service_name"] for labels, _ in found["PostgresServiceInfo"]] == ["one", "two"]
    found = await scrape(theirs)
    assert [labels["postgres_service_name"] for labels, _ in found["PostgresServiceInfo"]] == ["theirs"]


async def test_an_organization_without_services_has_no_metrics(client: Client) -> None:
    assert await scrape(client) == {}


async def test_a_key_that_only_reads_may_scrape(client: Client, reader: Client) -> None:
    service = (await client.running())["id"]
    assert await scrape(reader, service)
    assert await scrape(reader)


async def test_a_service_whose_server_cannot_be_asked_is_told_of_without_it(client: Client, engine: FakeEngine) -> None:
    service = (await client.running())["id"]
    engine.reason = "it crashes"
    client.plane.reconciler.wake(ServiceId.parse(service))
    await client.in_state(service, "unavailable")
    found = await scrape(client, service)
    assert found["PostgresServiceInfo"][0][0]["postgres_status"] == "unavailable"
    assert found["howdah_up"][0][1] == 0
    assert "PostgresServer_TuplesFetched_Total" not in found
    assert [value for labels, value in found["howdah_health_status"] if labels["status"] == "critical"] == [1]


async def test_what_is_wrong_with_the_backups_of_one_service_keeps_none_from_being_told_of(
    client: Client, engine: FakeEngine
) -> None:
    await client.running(name="one")
    await client.running(name="two")
    engine.outage = DamageError("backup.json is no JSON")
    found = await scrape(client)
    assert [value for labels, value in found["howdah_health_status"] if labels["status"] == "critical"] == [1, 1]
    assert "howdah_backups" not in found
    health = await client.result("GET", "/v1/howdah/health")
    assert [one["reasons"] for one in health] == [["the archive is damaged: backup.json is no JSON"]] * 2


async def test_one_that_is_being_deleted_is_shown_so_and_not_asked(client: Client, engine: FakeEngine) -> None:
    service = (await client.running())["id"]
    engine.keeps = True
    await client.result("DELETE", f"{client.services}/{service}")
    found = await scrape(client, service)
    assert found["PostgresServiceInfo"][0][0]["postgres_status"] == ServiceState.DELETING
    assert engine.measurements == 0


async def test_who_scrapes_often_or_at_the_same_time_has_a_server_asked_once(
    client: Client, engine: FakeEngine
) -> None:
    service = (await client.running())["id"]
    await asyncio.gather(*(scrape(client, one) for one in (service, service, None)))
    await scrape(client, service)
    assert engine.measurements == 1


async def test_a_read_replica_is_told_how_far_it_is_behind_its_primary(client: Client, engine: FakeEngine) -> None:
    primary = (await client.running())["id"]
    replica = (await client.result("POST", f"{client.services}/{primary}/readReplica", json={"name": "r"}))["id"]
    member, standby = InstanceId.new(), InstanceId.new()
    followers = (Follower(ServiceId.parse(replica), member, 7, 0.5), Follower(ServiceId.parse(primary), standby, 0, 0))
    engine.measured = ServerMetrics(statistics=replace(STATISTICS, followers=followers))
    found = await scrape(client)
    lags = [
        (labels["postgres_service"], labels["member"], value) for labels, value in found["howdah_replication_lag_bytes"]
    ]
    assert lags == [(primary, standby.ubid, 0), (replica, member.ubid, 7)]
    assert [(labels["postgres_service"], value) for labels, value in found["howdah_standbys_streaming"]] == [
        (primary, 1)
    ]


async def test_no_such_service_has_no_metrics(client: Client) -> None:
    for unknown in ("pg7myrd1j06p3gx4zrm2ze8qz6", "nonsense"):
        assert (await client.refusal("GET", f"{client.services}/{unknown}/prometheus"))[0] == 404
