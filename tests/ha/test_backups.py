"""Backups of a service with standbys: they go on whichever server is the primary."""

from __future__ import annotations

from collections.abc import Callable

from fixtures.server import Server, eventually

from ha.service import HaService, end, with_standbys, writing


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
