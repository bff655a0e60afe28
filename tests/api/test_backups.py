"""Backups, and services made from them, as the calls tell of them."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.client import Client, eventually
from api.fake_engine import FakeEngine
from api.test_services_calls import SEED_ORDER
from howdah.backup.errors import DamageError, NotRestorableError, StoreError
from howdah.domain.backups import ArchiveStatus, BackupKind, BaseBackup, Gap, RestoreSource, Window
from howdah.domain.errors import HowdahError
from howdah.domain.ids import ServiceId
from howdah.domain.moments import text
from howdah.domain.organizations import ApiVersion, Role
from howdah.domain.services import NewService, Service
from howdah.domain.states import ServiceState

EARLIEST = datetime(2024, 3, 4, 6, 7, 8, 123_456, tzinfo=UTC)
MOMENT = datetime(2024, 3, 4, 20, 30, 15, 250_000, tzinfo=UTC)
NOWHERE = "pg7myrd1j06p3gx4zrm2ze8qz6"


CURSOR = "20260304T000506.789999Z-full"


def base(number: int, *, request: int = 0) -> BaseBackup:
    """The backup of hour ``number``: a full one every third time."""
    kind = BackupKind.INCREMENTAL if number % 3 else BackupKind.FULL
    started = datetime(2026, 3, 4, number, 5, 6, 789_999, tzinfo=UTC)
    return BaseBackup(
        name=f"{started:%Y%m%dT%H%M%S.%fZ}-{kind}",
        kind=kind,
        parent=base(number - 1).name if number % 3 else None,
        postgres="18.6.0",
        system_identifier=7,
        started_at=started,
        finished_at=started + timedelta(minutes=1),
        start_lsn="0/2000028",
        stop_lsn="0/2000100",
        wal_timeline=1,
        stored_bytes=1000 + number,
        data_bytes=9000 + number,
        files={"base.tar.zst": "0" * 64},
        tablespaces={},
        request=request,
    )


def own(service: str) -> str:
    """Where Howdah's own calls on a service are."""
    return f"/v1/howdah/services/{service}"


async def restore(client: Client, service: str, **fields: Any) -> dict[str, Any]:
    body = {"name": "copy", "restoreTarget": "latest"} | fields
    return await client.result("POST", f"{client.services}/{service}/restoredService", json=body)


async def refused(client: Client, service: str, **fields: Any) -> tuple[int, str]:
    """Status and sentence of a restoration that must not be."""
    body = {"name": "copy", "restoreTarget": "latest"} | fields
    return await client.refusal("POST", f"{client.services}/{service}/restoredService", json=body)


async def test_a_restored_service_is_a_new_one_with_what_its_source_has(client: Client, engine: FakeEngine) -> None:
    engine.earliest = EARLIEST
    source = await client.running(size="r8gd.xlarge", postgresVersion="18", tags=[{"key": "a", "value": "b"}])
    engine.held = True
    made = await restore(client, source["id"], name=" copy ")
    assert list(made) == [*SEED_ORDER, "createdAt", "ipAccessList"]
    fresh = ("id", "hostname", "connectionString", "createdAt", "ipAccessList")
    expected = source | {"name": "copy", "state": "restoring_backup"} | {field: made[field] for field in fresh}
    assert made == {field: value for field, value in expected.items() if field != "earliestRestoreTime"}
    assert (made["haType"], made["isPrimary"]) == ("none", True)
    assert made["id"] != source["id"]
    assert re.fullmatch(rf"copy-[0-9a-f]{{8}}\.{made['id']}\.c0\.us-west-2\.aws\.pg\.localhost", made["hostname"])
    assert f"postgres:{source['password']}@{made['hostname']}:" in made["connectionString"]

    assert await client.result("GET", f"{client.services}/{source['id']}") == source
    engine.held = False
    assert await client.in_state(made["id"], "running") == made | {"state": "running"} | {
        "earliestRestoreTime": source["earliestRestoreTime"]
    }


@pytest.mark.parametrize("version", list(ApiVersion))
async def test_it_shows_credentials_as_a_create_does(client: Client, version: ApiVersion) -> None:
    source = await client.running()
    asking = await client.with_key(Role.DEVELOPER, version)
    made = await restore(asking, source["id"])
    assert made["password"] == source["password"]
    assert made["hostname"] in made["connectionString"]
    assert bool(re.fullmatch("pg[0-9a-z]{24}", made["id"])) is (version is ApiVersion.PREVIEW)
    shown = await asking.in_state(made["id"], "running")
    assert ("password" in shown) is (version is ApiVersion.PREVIEW)


async def test_a_password_that_was_set_since_is_the_one_it_has(client: Client) -> None:
    source = await client.running()
    await client.result("PATCH", f"{client.services}/{source['id']}/password", json={"password": "Abcdefghij12"})
    assert (await restore(client, source["id"]))["password"] == "Abcdefghij12"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [{"key": "of"}]),
        ({"tags": [{"key": "new", "value": ""}]}, [{"key": "new", "value": ""}]),
        ({"tags": []}, []),
    ],
    ids=["taken over", "given", "none"],
)
async def test_its_tags_are_those_of_its_source_unless_others_are_given(
    client: Client, given: dict[str, Any], expected: list[dict[str, str]]
) -> None:
    source = await client.running(tags=[{"key": "of"}])
    assert (await restore(client, source["id"], **given))["tags"] == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("2024-03-04T20:30:15.25Z", MOMENT),
        ("2024-03-04t20:30:15.250000z", MOMENT),
        ("2024-03-04 20:30:15.250+00:00", MOMENT),
        ("2024-03-05T02:00:15.250000+05:30", MOMENT),
        ("2024-03-04T20:30:15Z", MOMENT.replace(microsecond=0)),
        ("2024-03-04T20:30:15.000001Z", MOMENT.replace(microsecond=1)),
        ("latest", None),
    ],
)
async def test_a_target_is_a_moment_of_rfc_3339_or_latest(
    client: Client, target: str, expected: datetime | None
) -> None:
    source = await client.running()
    made = await restore(client, source["id"], restoreTarget=target)
    timeline = client.plane.services.stored(client.organization, ServiceId.parse(source["id"])).timeline
    stored = client.plane.backups.source(client.organization, ServiceId.parse(made["id"]))
    assert stored == RestoreSource(timeline, expected)
    (operation,) = await client.result("GET", f"{own(made['id'])}/operations")
    shown = "latest" if expected is None else f"{expected:%Y-%m-%dT%H:%M:%S.%f}Z"
    assert operation["restoreTarget"] == shown


@pytest.mark.parametrize(
    "target",
    [
        *("", "now", "Latest", "2026-11-25", "2026-11-25T09:30Z", "2026-11-25T09:30:00", "1764063000"),
        *(
            "2026-11-25T09:30:00.1234567Z",
            "2026-02-30T09:30:00Z",
            "2026-11-25T09:30:00+25:00",
            "0001-01-01T00:00:00+01:00",
        ),
        "x" * 5000,
    ],
)
async def test_a_target_that_is_no_moment_is_refused(client: Client, target: str) -> None:
    service = (await client.running())["id"]
    status, error = await refused(client, service, restoreTarget=target)
    said = f"BAD_REQUEST: restoreTarget {target[:60]!a} is no moment; it must be like 2026-11-25T09:30:00Z or"
    assert (status, error[: len(said)]) == (400, said)
    assert error.endswith(" or latest")


async def test_a_target_lies_between_the_earliest_moment_and_now(client: Client, engine: FakeEngine) -> None:
    engine.earliest = EARLIEST
    source = await client.running()
    window = rf"BAD_REQUEST: Restore target must be between {text(EARLIEST)} and (.*Z)"
    for target in (EARLIEST - timedelta(microseconds=1), datetime.now(UTC) + timedelta(minutes=1)):
        status, error = await refused(client, source["id"], restoreTarget=text(target))
        found = re.fullmatch(window, error)
        assert (status, found is not None) == (400, True), error
        assert found is not None
        assert timedelta() <= datetime.now(UTC) - datetime.fromisoformat(found[1]) < timedelta(minutes=1)
    for target in (text(EARLIEST), source["earliestRestoreTime"], text(MOMENT)):
        await restore(client, source["id"], restoreTarget=target)


async def test_the_future_is_refused_also_while_the_earliest_moment_is_not_known(client: Client) -> None:
    target = text(datetime.now(UTC) + timedelta(minutes=1))
    said = (400, f"BAD_REQUEST: restoreTarget {target} lies in the future")
    assert await refused(client, (await client.running())["id"], restoreTarget=target) == said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "name is empty; it must have 1 to 50 characters"),
        ({"name": "a/b"}, "name has the character '/'"),
        ({"name": None}, "name must be a string, not null"),
        ({"restoreTarget": None}, "restoreTarget must be a string, not null"),
        ({"restoreTarget": 1764063000}, "restoreTarget must be a string, not a number"),
        (
            {"restoreTo": "latest"},
            "field 'restoreTo' is unknown; did you mean restoreTarget? known: name, restoreT",
        ),
        ({"size": "r8gd.large"}, "field 'size' is unknown; known: name, restoreTarget, tags"),
        ({"tags": None}, "tags must be an array, not null"),
        ({"tags": [{"key": "chc_x"}]}, "tags[0].key 'chc_x' begins with 'chc_', which is reserved"),
        ({"pgConfig": {}}, "pgConfig is not yet supported; leave it out"),
        ({"pgBouncerConfig": {"a": "b"}}, "pgBouncerConfig is not yet supported; leave it out"),
        ({"ipAccessList": []}, "ipAccessList is not yet supported; leave it out"),
    ],
)
async def test_a_body_that_breaks_a_rule_is_refused_by_its_name(
    client: Client, fields: dict[str, Any], said: str
) -> None:
    source = await client.running()
    status, error = await refused(client, source["id"], **fields)
    assert (status, error[: len(f"BAD_REQUEST: {said}")]) == (400, f"BAD_REQUEST: {said}")
    assert len(await client.result("GET", client.services)) == 1


@pytest.mark.parametrize("fields", [{"name": ""}, {"tags": [{"key": ""}]}, {"restoreTarget": "now"}], ids=str)
async def test_a_broken_rule_is_named_also_while_the_archive_is_out_of_reach(
    client: Client, engine: FakeEngine, fields: dict[str, Any]
) -> None:
    source = await client.running()
    engine.outage = StoreError("the archive is out of reach")
    assert (await refused(client, source["id"], **fields))[0] == 400


@pytest.mark.parametrize("field", ["name", "restoreTarget"])
async def test_a_required_field_is_missed_by_name(client: Client, field: str) -> None:
    source = await client.running()
    body = {"name": "copy", "restoreTarget": "latest"}
    del body[field]
    url = f"{client.services}/{source['id']}/restoredService"
    said = (400, f"BAD_REQUEST: {field} is missing; it is required")
    assert await client.refusal("POST", url, json=body) == said


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (NotRestorableError("nothing can be restored yet: no base backup is completed"), 400, "BAD_REQUEST"),
        (DamageError("the WAL segment 000000010000000000000007 is missing"), 400, "BAD_REQUEST"),
        (StoreError("the archive is out of reach"), 503, "UNAVAILABLE"),
    ],
    ids=["not restorable", "damaged", "out of reach"],
)
async def test_what_the_archive_cannot_give_is_refused_in_its_own_words(
    client: Client, engine: FakeEngine, refusal: HowdahError, status: int, code: str
) -> None:
    source = await client.running()
    engine.refusal = refusal
    assert await refused(client, source["id"]) == (status, f"{code}: {refusal.sentence}")
    assert len(await client.result("GET", client.services)) == 1


async def test_a_service_that_is_being_deleted_is_404(client: Client, engine: FakeEngine) -> None:
    source = await client.running()
    engine.keeps = True
    await client.result("DELETE", f"{client.services}/{source['id']}")
    gone = (404, f"NOT_FOUND: there is no Postgres service {source['id']}")
    assert await refused(client, source["id"]) == gone


async def test_a_service_that_goes_while_its_archive_is_read_is_404(
    client: Client, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await client.running()

    async def delete_it(*_: object) -> None:
        await client.result("DELETE", f"{client.services}/{source['id']}")
        await eventually("it is gone", lambda: client.plane.services.list(client.organization) == [])

    monkeypatch.setattr(engine, "restorable", delete_it)
    assert await refused(client, source["id"]) == (404, f"NOT_FOUND: there is no Postgres service {source['id']}")


async def test_a_key_that_only_reads_may_not(client: Client, reader: Client) -> None:
    source = await client.running()
    status, error = await refused(reader, source["id"])
    said = "FORBIDDEN: a key with the role query_endpoints may not do this (restore into a new service)"
    assert (status, error[: len(said)]) == (403, said)


async def test_backups_are_listed_newest_first(client: Client, engine: FakeEngine) -> None:
    service = (await client.running())["id"]
    engine.bases = [base(number) for number in range(3)]
    assert await client.result("GET", f"{client.services}/{service}/backups") == [
        {"key": base(hour).name, "lastModified": f"2026-03-04T0{hour}:06:06.789Z", "status": "completed"}
        for hour in (2, 1, 0)
    ]


async def test_without_backups_the_list_is_empty_and_its_only_page(client: Client) -> None:
    service = (await client.running())["id"]
    answer = (await client.send("GET", f"{client.services}/{service}/backups")).json()
    assert (answer["result"], "nextCursor" in answer) == ([], False)


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (6, [6, 1]), (7, [7]), (100, [7])])
async def test_pages_hold_each_backup_once(client: Client, engine: FakeEngine, limit: int, sizes: list[int]) -> None:
    engine.bases = [base(number) for number in range(7)]
    url = f"{client.services}/{(await client.running())['id']}/backups"
    pages: list[list[str]] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        answer = (await client.send("GET", url, params=query)).json()
        pages.append([one["key"] for one in answer["result"]])
        if "nextCursor" not in answer:
            break
        query["cursor"] = answer["nextCursor"]
    assert [len(page) for page in pages] == sizes
    assert [key for page in pages for key in page] == [one.name for one in reversed(engine.bases)]


async def test_backups_that_come_and_go_between_two_pages_shift_nothing(client: Client, engine: FakeEngine) -> None:
    engine.bases = [base(number) for number in range(4)]
    url = f"{client.services}/{(await client.running())['id']}/backups"
    cursor = (await client.send("GET", url, params={"limit": 2})).json()["nextCursor"]
    engine.bases = [base(0), base(1), base(4)]
    left = await client.result("GET", url, params={"cursor": cursor})
    assert [one["key"] for one in left] == [base(1).name, base(0).name]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=0", "query parameter limit is '0'; it must be a whole number from 1 to 100"),
        ("limit=101", "query parameter limit is '101'; it must be"),
        ("limit=-1", "query parameter limit is '-1'; it must be"),
        ("limit=1e1", "query parameter limit is '1e1'; it must be"),
        ("limit=", "query parameter limit is ''; it must be"),
        ("limit=%D9%A1", r"query parameter limit is '\u0661'; it must be"),
        ("limit=" + "1" * 5000, "query parameter limit is '111"),
        ("limit=1&limit=2", "query parameter limit is given twice; only one is supported"),
        ("cursor=", "query parameter cursor is ''; it must be the nextCursor of the page before"),
        ("cursor=zzz", "query parameter cursor is 'zzz'; it must be"),
        (f"cursor={CURSOR}%0A", rf"query parameter cursor is '{CURSOR}\n'; it must be"),
        (f"cursor={CURSOR}&cursor=x", "query parameter cursor is given twice; only one is supported"),
        ("curser=x", "query parameter 'curser' is unknown; did you mean cursor? known: cursor, limit"),
        ("state=running", "query parameter 'state' is unknown; known: cursor, limit"),
    ],
)
async def test_a_page_that_cannot_be_is_refused(client: Client, query: str, said: str) -> None:
    url = f"{client.services}/{(await client.running())['id']}/backups"
    status, error = await client.refusal("GET", f"{url}?{query}")
    assert (status, error[: len(f"BAD_REQUEST: {said}")]) == (400, f"BAD_REQUEST: {said}")


async def test_a_service_without_backups_has_nothing_to_restore(client: Client, reader: Client) -> None:
    service = (await client.running())["id"]
    assert await reader.result("GET", f"{own(service)}/backups") == {
        "earliestRestoreTime": None,
        "latestWalTime": None,
        "gaps": [],
        "backupUnderWaySince": None,
        "problem": None,
        "waitingBytes": 0,
        "lagSeconds": 0.0,
        "spoolBytes": 0,
        "storedBytes": 0,
        "backups": [],
    }


async def test_window_gaps_problem_and_backups_are_told_in_full(client: Client, engine: FakeEngine) -> None:
    service = (await client.running())["id"]
    gaps = (Gap(base(1).finished_at, base(2).finished_at, "lost"), Gap(base(2).finished_at, None, "lost again"))
    engine.archive = ArchiveStatus(
        bases=(base(0), base(1, request=2)),
        window=Window(base(0).finished_at, base(3).finished_at, gaps),
        under_way=base(4).started_at,
        problem="the spool is full",
        waiting_bytes=1 << 40,
        lag_seconds=61.25,
        spool_bytes=1 << 42,
        stored_bytes=1 << 41,
    )
    shown = await client.result("GET", f"{own(service)}/backups")
    assert shown == {
        "earliestRestoreTime": "2026-03-04T00:06:06.790Z",
        "latestWalTime": "2026-03-04T03:06:06.790Z",
        "gaps": [
            {
                "since": "2026-03-04T01:06:06.789999Z",
                "until": "2026-03-04T02:06:06.789999Z",
                "reason": "lost",
            },
            {"since": "2026-03-04T02:06:06.789999Z", "until": None, "reason": "lost again"},
        ],
        "backupUnderWaySince": "2026-03-04T04:05:06.789Z",
        "problem": "the spool is full",
        "waitingBytes": 1 << 40,
        "lagSeconds": 61.25,
        "spoolBytes": 1 << 42,
        "storedBytes": 1 << 41,
        "backups": [
            {
                "key": "20260304T010506.789999Z-incremental",
                "lastModified": "2026-03-04T01:06:06.789Z",
                "status": "completed",
                "kind": "incremental",
                "parent": "20260304T000506.789999Z-full",
                "request": 2,
                "postgres": "18.6.0",
                "startedAt": "2026-03-04T01:05:06.789Z",
                "finishedAt": "2026-03-04T01:06:06.789Z",
                "storedBytes": 1001,
                "dataBytes": 9001,
            },
            {
                "key": "20260304T000506.789999Z-full",
                "lastModified": "2026-03-04T00:06:06.789Z",
                "status": "completed",
                "kind": "full",
                "parent": None,
                "request": 0,
                "postgres": "18.6.0",
                "startedAt": "2026-03-04T00:05:06.789Z",
                "finishedAt": "2026-03-04T00:06:06.789Z",
                "storedBytes": 1000,
                "dataBytes": 9000,
            },
        ],
    }


async def test_requests_count_one_by_one_and_share_the_backup_that_is_not_there_yet(
    client: Client, engine: FakeEngine
) -> None:
    url = f"{own((await client.running())['id'])}/backups"
    engine.bases = [base(0)]
    for _ in range(2):
        assert await client.result("POST", url) == {"request": 1}
    engine.bases = [base(0), base(1, request=1)]
    for _ in range(2):
        assert await client.result("POST", url) == {"request": 2}


async def test_a_key_that_only_reads_may_not_ask_for_a_backup(client: Client, reader: Client) -> None:
    status, error = await reader.refusal("POST", f"{own((await client.running())['id'])}/backups")
    assert (status, error[:10]) == (403, "FORBIDDEN:")


async def test_an_archive_that_cannot_be_asked_is_503_and_one_that_is_damaged_400(
    client: Client, engine: FakeEngine
) -> None:
    service = (await client.running())["id"]
    calls = [("GET", f"{client.services}/{service}/backups")]
    calls += [(method, f"{own(service)}/backups") for method in ("GET", "POST")]
    for error, expected in (
        (StoreError("the archive is out of reach"), (503, "UNAVAILABLE: the archive is out of reach")),
        (DamageError("backup.json is damaged"), (400, "BAD_REQUEST: backup.json is damaged")),
    ):
        engine.outage = error
        assert [await client.refusal(*call) for call in calls] == [expected] * 3


async def test_a_service_that_was_created_has_none(client: Client, reader: Client) -> None:
    assert await reader.result("GET", f"{own((await client.running())['id'])}/operations") == []


async def test_a_restoration_is_followed_from_its_beginning_to_its_end(client: Client, engine: FakeEngine) -> None:
    source = await client.running()
    engine.restoring, engine.reason = ServiceState.RESTORING_BACKUP, "fetching the base backup (35%)"
    made = await restore(client, source["id"], restoreTarget=text(MOMENT))
    url = f"{own(made['id'])}/operations"

    async def shown() -> dict[str, Any]:
        (operation,) = await client.result("GET", url)
        constant = ("restore", made["createdAt"], "2024-03-04T20:30:15.250000Z")
        assert tuple(operation.pop(name) for name in ("operation", "startedAt", "restoreTarget")) == constant
        return operation

    for state in (ServiceState.RESTORING_BACKUP, ServiceState.REPLAYING_WAL, ServiceState.FINALIZING_RESTORE):
        engine.restoring, engine.reason = state, f"doing {state}"
        await _until_reason(client, made["id"], f"doing {state}")
        assert await shown() == {"status": "running", "detail": f"doing {state}", "state": state}
        assert (await client.result("GET", f"{client.services}/{made['id']}"))["state"] == state
    engine.restoring, engine.reason = None, "the archive is out of reach"
    await client.in_state(made["id"], "unavailable")
    assert await shown() == {"status": "failing", "detail": "the archive is out of reach", "state": "unavailable"}
    engine.reason = None
    await client.in_state(made["id"], "running")
    assert await shown() == {"status": "succeeded", "detail": None, "state": "running"}


async def test_a_backup_that_is_being_taken_is_one_whether_or_not_its_archive_answers(
    client: Client, engine: FakeEngine
) -> None:
    service = (await client.running())["id"]
    engine.archive = ArchiveStatus((), None, under_way=base(1).started_at)
    engine.outage = StoreError("the archive is out of reach")
    assert await client.result("GET", f"{own(service)}/operations") == [
        {"operation": "backup", "status": "running", "startedAt": "2026-03-04T01:05:06.789Z", "detail": None}
    ]


async def _until_reason(client: Client, service: str, reason: str) -> None:
    deadline = time.monotonic() + 10
    while (await client.result("GET", own(service)))["reason"] != reason:
        assert time.monotonic() < deadline, f"{service} does not say {reason!r} within 10 s"
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("microsecond", "shown"), [(0, "000"), (1, "001"), (123_000, "123"), (123_001, "124"), (998_999, "999")]
)
async def test_it_is_rounded_up_so_that_it_can_be_asked_for(
    client: Client, engine: FakeEngine, microsecond: int, shown: str
) -> None:
    engine.earliest = EARLIEST.replace(microsecond=microsecond)
    running = await client.running()
    assert running["earliestRestoreTime"] == f"2024-03-04T06:07:08.{shown}Z"
    (listed,) = await client.result("GET", client.services)
    assert listed["earliestRestoreTime"] == running["earliestRestoreTime"]


async def test_the_last_part_of_a_second_is_rounded_up_into_the_next(client: Client, engine: FakeEngine) -> None:
    engine.earliest = datetime(2026, 2, 28, 23, 59, 59, 999_001, tzinfo=UTC)
    assert (await client.running())["earliestRestoreTime"] == "2026-03-01T00:00:00.000Z"


async def test_it_is_absent_while_nothing_can_be_restored(client: Client) -> None:
    assert "earliestRestoreTime" not in await client.running()
    (listed,) = await client.result("GET", client.services)
    assert "earliestRestoreTime" not in listed


RESTORE = ("POST", "{services}/{id}/restoredService", {"name": "copy", "restoreTarget": "latest"})
LIST = ("GET", "{services}/{id}/backups", None)
OWN = (
    ("GET", "/v1/howdah/services/{id}/backups", None),
    ("POST", "/v1/howdah/services/{id}/backups", None),
    ("GET", "/v1/howdah/services/{id}/drills", None),
    ("POST", "/v1/howdah/services/{id}/drills", None),
    ("GET", "/v1/howdah/services/{id}/operations", None),
    ("GET", "/v1/howdah/services/{id}/health", None),
)


@pytest.mark.parametrize(("method", "path", "body"), [RESTORE, LIST, *OWN])
async def test_a_service_that_is_not_there_or_anothers_is_404(
    client: Client, method: str, path: str, body: dict[str, Any] | None
) -> None:
    theirs = await anothers(client)
    for service, spelled in ((NOWHERE, NOWHERE), (theirs.id.ubid, theirs.id.ubid), ("x", "'x'")):
        url = path.format(services=client.services, id=service)
        said = (404, f"NOT_FOUND: there is no Postgres service {spelled}")
        assert await client.refusal(method, url, json=body) == said


@pytest.mark.parametrize(("method", "path", "body"), [RESTORE, LIST])
async def test_another_organization_is_404(client: Client, method: str, path: str, body: dict[str, Any] | None) -> None:
    theirs = await anothers(client)
    url = path.format(services=f"/v1/organizations/{theirs.organization}/postgres", id=theirs.id.ubid)
    said = (404, f"NOT_FOUND: there is no organization '{theirs.organization}'")
    assert await client.refusal(method, url, json=body) == said


async def anothers(client: Client) -> Service:
    """A service of another organization."""
    other = await client.plane.access.create_organization("Other")
    new = NewService(name="n", provider="aws", region="us-west-2", size="r8gd.large")
    return await client.plane.services.create(other.id, new)


@pytest.mark.parametrize(("method", "path", "body"), [RESTORE, LIST, *OWN])
async def test_nobody_is_told_anything(
    client: Client, nobody: Client, method: str, path: str, body: dict[str, Any] | None
) -> None:
    service = (await client.running())["id"]
    url = path.format(services=client.services, id=service)
    assert (await nobody.refusal(method, url, json=body))[0] == 401
