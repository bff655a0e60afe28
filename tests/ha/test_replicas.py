"""Read replicas: real servers that follow the primary of another service."""

from __future__ import annotations

import psycopg
import pytest
from fixtures.server import Server, eventually
from prometheus_client.parser import text_string_to_metric_families

from ha.replicas import replica_of, shows
from ha.service import HaService, end, with_standbys, writing


def test_a_replica_shows_what_its_primary_has_and_takes_no_writes(server: Server) -> None:
    primary = with_standbys(server, "none", postgresVersion="18")
    primary.sql("CREATE TABLE shown AS SELECT 1 AS number")
    replica = replica_of(primary)
    shows(replica, "SELECT count(*) FROM shown", 1)
    primary.sql("INSERT INTO shown VALUES (2)")
    shows(replica, "SELECT count(*) FROM shown", 2)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        replica.sql("INSERT INTO shown VALUES (3)")
    (member,) = replica.members()
    assert (member["role"], member["state"]) == ("standby", "streaming")
    assert member["lagBytes"] is not None
    server.call("PATCH", f"/{primary.id}/password", {"password": "Another-Secret-99"})
    replica.service = server.get(replica.id)
    assert replica.service["password"] == "Another-Secret-99"
    shows(replica, "SELECT count(*) FROM shown", 2)


def test_metrics_tell_how_far_a_replica_is_behind(server: Server) -> None:
    primary = with_standbys(server, "async")
    replica = replica_of(primary)
    (standby,) = [one["id"] for one in primary.members() if one["role"] == "standby"]
    (follower,) = replica.members()
    replica.sql("SELECT pg_wal_replay_pause()")
    primary.sql("CREATE TABLE ahead AS SELECT repeat('x', 100) FROM generate_series(1, 20000)")

    def lags() -> dict[tuple[str, str], float]:
        answer = server.client.get(f"{server.services}/prometheus")
        assert answer.status_code == 200, answer.text
        families = {family.name: family.samples for family in text_string_to_metric_families(answer.text)}
        assert {sample.value for sample in families["howdah_up"]} == {1}
        streaming = [(one.labels["postgres_service"], one.value) for one in families["howdah_standbys_streaming"]]
        assert streaming in ([(primary.id, 0)], [(primary.id, 1)])
        return {
            (one.labels["postgres_service"], one.labels["member"]): one.value
            for one in families.get("howdah_replication_lag_bytes", [])
        }

    eventually("the replica is behind", lambda: lags().get((replica.id, follower["id"]), 0) > 2_000_000, within=30)
    eventually("the standby is not", lambda: lags().get((primary.id, standby), 1) == 0, within=30)
    replica.sql("SELECT pg_wal_replay_resume()")
    eventually("the replica is not any more", lambda: lags().get((replica.id, follower["id"])) == 0, within=30)


def test_a_replica_asked_for_with_its_primary_comes_up_after_it(server: Server) -> None:
    primary = server.create()
    made = server.call("POST", f"/{primary['id']}/readReplica", {"name": "early"})
    replica = HaService(server, server.wait_until(made["id"], "running", within=90))
    assert replica.sql("SELECT pg_is_in_recovery()") == [(True,)]


def test_a_replica_follows_a_failover_of_its_primary(server: Server) -> None:
    primary = with_standbys(server, "sync")
    replica = replica_of(primary)
    with writing(primary) as writer:
        end(primary.primary())
        primary.wait_for_change(1)
        writer.goes_on()
    primary.sql("CREATE TABLE afterwards AS SELECT 1 AS number")
    shows(replica, "SELECT count(*) FROM afterwards", 1)
    assert server.get(replica.id)["state"] == "running"


def test_a_promoted_replica_is_a_service_of_its_own(server: Server) -> None:
    primary = with_standbys(server, "none")
    primary.sql("CREATE TABLE shared AS SELECT 1 AS number")
    replica = replica_of(primary)
    shows(replica, "SELECT count(*) FROM shared", 1)
    promoted = server.call("PATCH", f"/{replica.id}/state", {"command": "promote"})
    assert promoted["isPrimary"] is True
    server.wait_until(replica.id, "running")
    replica.sql("INSERT INTO shared VALUES (2)")
    primary.sql("INSERT INTO shared VALUES (3), (4)")
    assert replica.sql("SELECT count(*) FROM shared") == [(2,)]
    assert primary.sql("SELECT count(*) FROM shared") == [(3,)]
    slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name <> 'howdah_archive'"
    eventually("its slot is free", lambda: primary.sql(slots) == [(0,)])
    server.call("PATCH", f"/{replica.id}", {"haType": "async"})
    replica.wait_until_healthy(1)
    server.call("DELETE", f"/{primary.id}")
    server.wait_until_gone(primary.id)
    assert replica.sql("SELECT count(*) FROM shared") == [(2,)]


def test_a_deleted_replica_frees_its_slot(server: Server) -> None:
    primary = with_standbys(server, "none")
    replica = replica_of(primary)
    slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name <> 'howdah_archive'"
    assert primary.sql(slots) == [(1,)]
    refused = server.client.delete(f"{server.services}/{primary.id}")
    assert (refused.status_code, "dependent read replica" in refused.json()["error"]) == (409, True)
    server.call("DELETE", f"/{replica.id}")
    server.wait_until_gone(replica.id)
    eventually("its slot is free", lambda: primary.sql(slots) == [(0,)])
