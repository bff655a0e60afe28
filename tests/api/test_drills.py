"""Drills as the calls tell of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from api.client import Client
from api.fake_engine import FakeEngine
from api.test_backups import own
from howdah.backup.errors import NotRestorableError, StoreError
from howdah.domain.drills import ComparedTable, Drilled, DrillProgress, DrillResult
from howdah.domain.organizations import Role

BEGAN = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
GOOD = DrillResult(
    started_at=BEGAN,
    finished_at=BEGAN + timedelta(minutes=3),
    chain=("20260304T000506.789999Z-full", "20260304T010506.789999Z-incremental"),
    lsn="0/5000060",
    until=BEGAN - timedelta(microseconds=1),
    data_bytes=22_000_000,
    checksums=True,
    relations=512,
    tables=(ComparedTable("postgres", 'public."Orders"', 7, 5, 9),),
)
BAD = DrillResult(
    BEGAN - timedelta(days=7),
    BEGAN - timedelta(days=6),
    problems=("wal/1.zst is damaged",),
    not_compared="the service was not running",
)


async def test_a_drill_is_begun_and_the_one_under_way_is_the_same(client: Client, engine: FakeEngine) -> None:
    service = (await client.running())["id"]
    for _ in range(2):
        assert await client.result("POST", f"{own(service)}/drills") == {"startedAt": "2026-03-04T05:06:07.890Z"}
    assert engine.drilled.under_way is not None


async def test_what_they_have_found_is_shown_newest_first_beside_the_one_under_way(
    client: Client, engine: FakeEngine
) -> None:
    service = (await client.running())["id"]
    assert await client.result("GET", f"{own(service)}/drills") == {"underWay": None, "nextAt": None, "drills": []}
    under_way = DrillProgress(BEGAN + timedelta(days=7), "replaying WAL segment 1", 0.625, "the archive was away")
    engine.drilled = Drilled((GOOD, BAD), under_way, BEGAN + timedelta(days=14))
    assert await client.result("GET", f"{own(service)}/drills") == {
        "underWay": {
            "startedAt": "2026-03-11T05:06:07.890Z",
            "doing": "replaying WAL segment 1",
            "percent": 62,
            "problem": "the archive was away",
        },
        "nextAt": "2026-03-18T05:06:07.890Z",
        "drills": [
            {
                "startedAt": "2026-03-04T05:06:07.890Z",
                "finishedAt": "2026-03-04T05:09:07.890Z",
                "ok": True,
                "problems": [],
                "backups": ["20260304T000506.789999Z-full", "20260304T010506.789999Z-incremental"],
                "restoredUntil": "2026-03-04T05:06:07.889999Z",
                "restoredLsn": "0/5000060",
                "dataBytes": 22_000_000,
                "checksumsChecked": True,
                "relationsChecked": 512,
                "tablesCompared": [
                    {
                        "database": "postgres",
                        "table": 'public."Orders"',
                        "restoredRows": 7,
                        "leastRows": 5,
                        "mostRows": 9,
                    }
                ],
                "notCompared": None,
            },
            {
                "startedAt": "2026-02-25T05:06:07.890Z",
                "finishedAt": "2026-02-26T05:06:07.890Z",
                "ok": False,
                "problems": ["wal/1.zst is damaged"],
                "backups": [],
                "restoredUntil": None,
                "restoredLsn": None,
                "dataBytes": 0,
                "checksumsChecked": False,
                "relationsChecked": 0,
                "tablesCompared": [],
                "notCompared": "the service was not running",
            },
        ],
    }


async def test_one_that_cannot_be_begun_says_why(client: Client, engine: FakeEngine) -> None:
    service = (await client.running())["id"]
    engine.outage = NotRestorableError("nothing can be restored yet: no base backup is completed")
    assert await client.refusal("POST", f"{own(service)}/drills") == (
        400,
        "BAD_REQUEST: nothing can be restored yet: no base backup is completed",
    )
    engine.outage = StoreError("the archive is out of reach")
    for method in ("GET", "POST"):
        status, said = await client.refusal(method, f"{own(service)}/drills")
        assert (status, said.partition(": ")[2]) == (503, "the archive is out of reach")


async def test_who_may_only_read_may_not_begin_one(client: Client) -> None:
    service = (await client.running())["id"]
    reader = await client.with_key(Role.QUERY_ENDPOINTS)
    assert (await reader.refusal("POST", f"{own(service)}/drills"))[0] == 403
    assert (await reader.result("GET", f"{own(service)}/drills"))["drills"] == []
