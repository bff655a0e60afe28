"""Backups of a service with standbys: they go on whichever server is the primary."""

from __future__ import annotations

from collections.abc import Callable

from fixtures.server import Server, eventually

from ha.service import HaService, Postmaster, end, with_standbys, writing
from howdah.launcher.processes import arguments_of, children


def test_what_was_committed_around_a_failover_and_a_switchover_can_be_restored(
    new_server: Callable[..., Server],
) -> None:
    server = new_server(env={"HOWDAH_BACKUP_ARCHIVE": ""})
    service = with_standbys(server, "sync")
    eventually("it can be restored", lambda: "earliestRestoreTime" in server.get(service.id), within=90)
    with writing(service) as writer:
        end(service.primary())
        service.wait_for_change(1)
        writer.goes_on()
        service.wait_until_healthy(2)
        server.call("PATCH", f"/{service.id}/state", {"command": "switchover"})
        writer.goes_on()
    assert writer.missing() == []
    eventually("it is archived as before", lambda: service.own("GET", "backups")["problem"] is None)
    assert service.own("GET", "backups")["gaps"] == []
    made = server.call("POST", f"/{service.id}/restoredService", {"name": "rescued", "restoreTarget": "latest"})
    restored = HaService(server, server.wait_until(made["id"], "running", within=120))
    there = {row[0] for row in restored.sql("SELECT number FROM written")}
    assert set(writer.acknowledged) <= there


STREAMING = "SELECT application_name, usename FROM pg_stat_replication WHERE state = 'streaming'"
KEPT = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) FROM pg_replication_slots WHERE slot_name = %s"


def test_the_archive_receives_from_a_standby_and_from_another_one_when_that_is_lost(
    new_server: Callable[..., Server],
) -> None:
    server = new_server(env={"HOWDAH_BACKUP_ARCHIVE": ""})
    service = with_standbys(server, "sync")
    eventually("it can be restored", lambda: "earliestRestoreTime" in server.get(service.id), within=90)
    eventually("only standbys follow the primary", lambda: senders(service) == {"howdah_replication"})
    with writing(service) as writer:
        for _ in range(4):
            service.sql("SELECT pg_switch_wal()")
        eventually("the primary keeps little WAL", lambda: service.sql(KEPT, "howdah_archive")[0][0] < 3 << 24)
        end(relay_of(service))
        writer.goes_on()
        service.wait_until_healthy(2)
        server.kill()
        server.start()
        eventually("only standbys follow the primary", lambda: senders(service) == {"howdah_replication"})
        writer.goes_on()
    assert service.own("GET", "backups")["gaps"] == []
    made = server.call("POST", f"/{service.id}/restoredService", {"name": "rescued", "restoreTarget": "latest"})
    restored = HaService(server, server.wait_until(made["id"], "running", within=120))
    assert {row[0] for row in restored.sql("SELECT number FROM written")} >= set(writer.acknowledged)


def senders(service: HaService) -> set[str]:
    """As which users others receive from the primary."""
    return {user for _, user in service.sql(STREAMING)}


def relay_of(service: HaService) -> Postmaster:
    """The standby that sends WAL to the archive."""
    for standby in service.standbys():
        if any("walsender postgres" in " ".join(arguments_of(pid)) for pid in children(standby.pid)):
            return standby
    raise AssertionError("no standby sends to the archive")
