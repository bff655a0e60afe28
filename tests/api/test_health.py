"""The health of a service, as the API tells of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from api.client import Client
from api.fake_engine import FakeEngine
from api.test_backups import base
from howdah.backup.errors import StoreError
from howdah.domain.backups import ArchiveStatus, Window
from howdah.domain.drills import Drilled, DrillProgress


async def test_a_service_with_fresh_backups_is_ok(client: Client, engine: FakeEngine) -> None:
    now = datetime.now(UTC)
    newest = replace(base(3), finished_at=now - timedelta(hours=2))
    engine.archive = ArchiveStatus((newest,), Window(newest.finished_at, now), waiting_bytes=16, stored_bytes=4711)
    service = (await client.running())["id"]
    found = await client.result("GET", f"/v1/howdah/services/{service}/health")
    assert (found["status"], found["reasons"], found["state"]) == ("ok", [], "running")
    backups = found["backups"]
    assert 7200 <= backups["lastBackupAgeSeconds"] < 7260
    assert (backups["waitingBytes"], backups["storedBytes"], backups["lagSeconds"]) == (16, 4711, 0)
    assert (backups["gaps"], backups["problem"]) == (0, None)


async def test_what_is_wrong_is_said(client: Client, engine: FakeEngine) -> None:
    service = (await client.running())["id"]
    engine.archive = ArchiveStatus((), None, problem="No space left on device")
    under_way = DrillProgress(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), "waiting", 0.0, "no room")
    engine.drilled = Drilled((), under_way)
    found = await client.result("GET", f"/v1/howdah/services/{service}/health")
    assert found["status"] == "warning"
    assert found["reasons"] == [
        "nothing can be restored yet: no base backup is completed",
        "archiving does not go on: No space left on device",
        "the drill that was begun at 2026-03-04T05:06:07Z could not be done so far: no room",
    ]


async def test_an_archive_out_of_reach_is_no_error_of_the_call(client: Client, engine: FakeEngine) -> None:
    service = (await client.running())["id"]
    engine.outage = StoreError("the archive cannot list it: Connection refused")
    found = await client.result("GET", f"/v1/howdah/services/{service}/health")
    assert (found["status"], found["backups"]) == ("warning", None)
    assert found["reasons"] == ["the archive cannot list it: Connection refused"]


async def test_the_health_of_all_is_told_at_once(client: Client, engine: FakeEngine) -> None:
    engine.archive = ArchiveStatus((), None)
    names = ["one", "two"]
    services = [await client.running(name=name) for name in names]
    found = await client.result("GET", "/v1/howdah/health")
    assert found == [
        {
            "id": service["id"],
            "name": name,
            "state": "running",
            "status": "warning",
            "reasons": ["nothing can be restored yet: no base backup is completed"],
            "backups": (await client.result("GET", f"/v1/howdah/services/{service['id']}/health"))["backups"],
        }
        for service, name in zip(services, names, strict=True)
    ]


async def test_a_read_replica_has_no_backups_and_misses_none(client: Client, engine: FakeEngine) -> None:
    primary = (await client.running())["id"]
    engine.archive = ArchiveStatus((), None)
    replica = await client.result("POST", f"{client.services}/{primary}/readReplica", json={"name": "r"})
    await client.in_state(replica["id"], "running")
    found = await client.result("GET", f"/v1/howdah/services/{replica['id']}/health")
    assert (found["status"], found["reasons"], found["backups"]) == ("ok", [], None)
