"""What a user changes about the servers of a service while a client writes: more or fewer of them, another primary,
another size, a restart."""

from __future__ import annotations

import threading

import psycopg
import pytest
from fixtures.server import Server, eventually

from ha.service import HaService, resume, suspend, watched, with_standbys, writing
from howdah.domain.names import read_only


def state(service: HaService, command: str) -> dict[str, object]:
    return service.server.call("PATCH", f"/{service.id}/state", {"command": command})


def test_standbys_come_and_go_without_a_client_noticing(server: Server) -> None:
    service = with_standbys(server, "none")
    with writing(service) as writer, watched(service):
        for ha_type, standbys in (("async", 1), ("sync", 2), ("async", 1), ("none", 0)):
            assert server.call("PATCH", f"/{service.id}", {"haType": ha_type})["haType"] == ha_type
            service.wait_until_healthy(standbys)
            writer.goes_on()
            waits = service.sql("SHOW synchronous_standby_names") != [("",)]
            assert waits is (ha_type == "sync")
        slots = "SELECT slot_name FROM pg_replication_slots WHERE slot_name <> 'howdah_archive'"
        eventually("no slot is left", lambda: service.sql(slots) == [])
    assert writer.errors == []
    assert writer.missing() == []


@pytest.mark.parametrize("ha_type", [pytest.param("async", marks=pytest.mark.long), "sync"])
def test_a_switchover_loses_nothing_and_can_be_repeated(server: Server, ha_type: str) -> None:
    service = with_standbys(server, ha_type, postgresVersion="18" if ha_type == "sync" else "17")
    seen = {service.primary().instance}
    with writing(service) as writer, watched(service):
        for number in (1, 2):
            assert state(service, "switchover")["state"] == "running"
            change = service.wait_for_change(number)
            assert (change["kind"], change["lostBytes"]) == ("switchover", 0)
            assert change["to"] == service.primary().instance
            seen.add(change["to"])
            writer.goes_on()
            service.wait_until_healthy(2 if ha_type == "sync" else 1)
    assert len(seen) > 1
    assert writer.missing() == []
    # The server that led before has what it wrote then, and was not copied anew.
    assert service.sql("SELECT pg_is_in_recovery()") == [(False,)]


def test_the_read_only_name_reaches_standbys_and_the_plain_one_the_primary(server: Server) -> None:
    service = with_standbys(server, "sync")
    service.sql("CREATE TABLE shown AS SELECT 7 AS number")
    name = read_only(service.service["hostname"])

    def shown() -> bool:
        try:
            return service.sql("SELECT number FROM shown", host=name) == [(7,)]
        except psycopg.errors.UndefinedTable:
            return False

    eventually("a standby shows it", shown)
    with service.connect(host=name) as reader:
        assert reader.execute("SELECT pg_is_in_recovery()").fetchall() == [(True,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            reader.execute("INSERT INTO shown VALUES (8)")
    with service.connect(host=name, target_session_attrs="standby") as reader:
        assert reader.execute("SHOW in_hot_standby").fetchall() == [("on",)]
    with service.connect(target_session_attrs="read-write") as writer:
        assert writer.execute("SHOW in_hot_standby").fetchall() == [("off",)]


def test_commits_wait_for_a_standby_and_go_on_when_one_is_back(server: Server) -> None:
    service = with_standbys(server, "sync")
    service.sql("CREATE TABLE waited (number int)")
    standbys = service.standbys()
    for standby in standbys:
        suspend(standby)
    with service.connect() as writer, service.connect() as other:
        # Their receivers are processes of their own, and acknowledge what arrives; ended ones cannot come back.
        followers = "SELECT count(*) FROM pg_stat_replication"
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
        eventually("nobody follows", lambda: other.execute(followers).fetchall() == [(0,)])
        commit = threading.Thread(target=writer.execute, args=("INSERT INTO waited VALUES (1)",))
        commit.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        eventually("the commit waits", lambda: other.execute(waits).fetchall() == [(1,)])
        assert other.execute("SELECT count(*) FROM waited").fetchall() == [(0,)]
        resume(standbys[0])
        commit.join(timeout=60)
        assert not commit.is_alive()
    resume(standbys[1])
    service.wait_until_healthy(2)
    assert service.sql("SELECT number FROM waited") == [(1,)]


@pytest.mark.parametrize("ha_type", [*(pytest.param(one, marks=pytest.mark.long) for one in ("none", "async")), "sync"])
def test_another_size_is_in_effect_on_every_server_and_interrupts_little(server: Server, ha_type: str) -> None:
    service = with_standbys(server, ha_type)
    standbys = {"none": 0, "async": 1, "sync": 2}[ha_type]
    small = int(service.sql("SHOW max_connections")[0][0])
    with writing(service) as writer, watched(service):
        for size in ("r8gd.4xlarge", "r8gd.large"):
            server.call("PATCH", f"/{service.id}", {"size": size})
            server.wait_until(service.id, "running")
            service.wait_until_healthy(standbys)
            writer.goes_on()
            now = int(service.sql("SHOW max_connections")[0][0])
            assert (now > small) is (size == "r8gd.4xlarge")
            assert server.get(service.id)["size"] == size
    assert writer.missing() == []


def test_ha_type_and_size_together_and_in_any_order_end_right(server: Server) -> None:
    service = with_standbys(server, "none")
    server.call("PATCH", f"/{service.id}", {"size": "r8gd.xlarge", "haType": "async"})
    server.call("PATCH", f"/{service.id}", {"haType": "sync"})
    server.call("PATCH", f"/{service.id}", {"size": "r8gd.2xlarge"})
    service.wait_until_healthy(2)
    for _ in range(3):  # Upstream's clients believe it when they have seen it three times in a row.
        found = server.get(service.id)
        assert (found["size"], found["haType"], found["state"]) == ("r8gd.2xlarge", "sync", "running")
    settings = service.sql("SHOW max_connections")
    assert service.sql("SHOW max_connections", host=read_only(found["hostname"])) == settings


def test_a_restart_restarts_every_server(server: Server) -> None:
    service = with_standbys(server, "async")
    before = {one.pid for one in service.postmasters().values()}
    with writing(service) as writer, watched(service):
        state(service, "restart")
        server.wait_until(service.id, "running")
        service.wait_until_healthy(1)
        writer.goes_on()
    assert not before & {one.pid for one in service.postmasters().values()}
    assert writer.missing() == []


def test_a_logical_slot_goes_on_after_a_failover(server: Server) -> None:
    service = with_standbys(server, "async")
    service.sql("CREATE TABLE captured (number int)")
    service.sql("SELECT pg_create_logical_replication_slot('cdc', 'test_decoding', false, false, true)")
    synced = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'cdc' AND synced AND NOT temporary"
    name = read_only(service.service["hostname"])

    def has_slot() -> bool:
        # A standby takes a slot over once that has moved beyond what the standby had when it came.
        service.sql("INSERT INTO captured VALUES (0)")
        service.sql("SELECT pg_logical_slot_get_changes('cdc', NULL, NULL), pg_log_standby_snapshot()")
        return service.sql(synced, host=name) == [(1,)]

    eventually("the standby has the slot", has_slot, within=90, every=0.5)
    service.sql("INSERT INTO captured VALUES (1)")
    state(service, "switchover")
    service.wait_for_change(1)
    service.sql("INSERT INTO captured VALUES (2)")
    rows = service.sql("SELECT data FROM pg_logical_slot_get_changes('cdc', NULL, NULL) WHERE data LIKE 'table%'")
    # Changes that were confirmed moments before may come again.
    numbers = [number for row in rows if (number := row[0].rpartition(":")[2]) != "0"]
    assert numbers == ["1", "2"]
