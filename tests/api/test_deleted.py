"""Deleted services whose backups are kept, as the calls tell of them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.client import Client, eventually
from api.fake_engine import FakeEngine
from api.test_services_calls import SEED_ORDER
from howdah.backup.errors import NotRestorableError, StoreError
from howdah.domain.backups import ArchiveStatus, RestoreSource, Window
from howdah.domain.ids import ServiceId
from howdah.domain.moments import text
from howdah.domain.organizations import ApiVersion, Role
from howdah.domain.settings import ApiSettings, BackupSettings, Settings

EARLIEST = datetime(2024, 3, 4, 6, 7, 8, 123_456, tzinfo=UTC)
DELETED = "/v1/howdah/deleted"
NOWHERE = "pg7myrd1j06p3gx4zrm2ze8qz6"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    backup = BackupSettings(keep_after_delete_days=3)
    return Settings(state=tmp_path / "state", api=ApiSettings(rate_limit=0), backup=backup)


@pytest.fixture
def engine() -> FakeEngine:
    made = FakeEngine()
    made.archive = ArchiveStatus((), Window(EARLIEST, EARLIEST), stored_bytes=4711)
    return made


async def deleted(client: Client, **fields: Any) -> dict[str, Any]:
    """A service that ran, as it was last shown, and is gone."""
    service = await client.running(**fields)
    path = f"{client.services}/{service['id']}"
    await client.result("DELETE", path)
    organization, gone = client.organization, ServiceId.parse(service["id"])
    await eventually("it is gone", lambda: all(one.id != gone for one in client.plane.services.list(organization)))
    assert (await client.refusal("GET", path))[0] == 404
    return service


async def restore(client: Client, service: str, **fields: Any) -> dict[str, Any]:
    body = {"name": "copy", "restoreTarget": "latest"} | fields
    return await client.result("POST", f"{DELETED}/{service}/restoredService", json=body)


async def test_it_is_listed_with_what_it_was_and_until_when_it_is_kept(client: Client, reader: Client) -> None:
    assert await client.result("GET", DELETED) == []
    one = await deleted(client, size="r8gd.xlarge", postgresVersion="18", tags=[{"key": "a", "value": "b"}])
    other = await deleted(client, name="other")
    first, second = await reader.result("GET", DELETED)
    assert (first["id"], second["id"]) == (one["id"], other["id"])
    same = ("id", "name", "provider", "region", "postgresVersion", "size", "storageSize", "tags", "createdAt")
    assert first == {field: one[field] for field in same} | {
        "deletedAt": first["deletedAt"],
        "keepUntil": first["keepUntil"],
        "storedBytes": 4711,
        "earliestRestoreTime": "2024-03-04T06:07:08.124Z",
        "problem": None,
    }
    kept_for = datetime.fromisoformat(first["keepUntil"]) - datetime.fromisoformat(first["deletedAt"])
    assert kept_for.days == 3
    assert await reader.result("GET", f"{DELETED}/{one['id']}") == first
    beta = await client.with_key(Role.ADMIN, ApiVersion.BETA)
    uuid = str(ServiceId.parse(one["id"]).uuid)
    assert await beta.result("GET", f"{DELETED}/{one['id']}") == first | {"id": uuid}
    assert await client.result("GET", f"{DELETED}/{uuid}") == first


async def test_where_nothing_can_be_restored_nothing_is_listed(client: Client, engine: FakeEngine) -> None:
    engine.archive = ArchiveStatus((), None)
    await deleted(client)
    assert await client.result("GET", DELETED) == []


@pytest.mark.parametrize("version", list(ApiVersion))
async def test_a_restored_one_is_answered_as_a_create_with_a_new_password(
    client: Client, engine: FakeEngine, version: ApiVersion
) -> None:
    source = await deleted(client, tags=[{"key": "a"}])
    asking = await client.with_key(Role.DEVELOPER, version)
    engine.held = True
    made = await restore(asking, source["id"], name=" copy ")
    assert list(made) == [*SEED_ORDER, "createdAt", "ipAccessList"]
    assert (made["name"], made["state"], made["haType"]) == ("copy", "restoring_backup", "none")
    same = ("provider", "region", "postgresVersion", "size", "storageSize", "tags", "username", "isPrimary")
    assert {field: made[field] for field in same} == {field: source[field] for field in same}
    assert made["password"] != source["password"]
    assert f"postgres:{made['password']}@{made['hostname']}:" in made["connectionString"]
    assert re.fullmatch(r"copy-[0-9a-f]{8}\.pg\w{24}\.c0\.us-west-2\.aws\.pg\.localhost", made["hostname"])
    engine.held = False
    await client.in_state(made["id"], "running")
    assert (await restore(client, source["id"], tags=[]))["tags"] == []


async def test_its_target_is_a_moment_of_its_life_or_latest(client: Client) -> None:
    source = await deleted(client)
    kept = await client.result("GET", f"{DELETED}/{source['id']}")
    timeline = client.plane.deleted.get(client.organization, ServiceId.parse(source["id"])).timeline
    for target in (kept["earliestRestoreTime"], kept["deletedAt"], "latest"):
        made = await restore(client, source["id"], restoreTarget=target)
        expected = None if target == "latest" else datetime.fromisoformat(target)
        stored = client.plane.backups.source(client.organization, ServiceId.parse(made["id"]))
        assert stored == RestoreSource(timeline, expected)
    window = f"Restore target must be between {text(EARLIEST)} and {text(datetime.fromisoformat(kept['deletedAt']))}"
    for target in ("2024-03-04T06:07:08.123455Z", "2999-01-01T00:00:00Z"):
        body = {"name": "x", "restoreTarget": target}
        refused = await client.refusal("POST", f"{DELETED}/{source['id']}/restoredService", json=body)
        assert refused == (400, f"BAD_REQUEST: {window}")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"restoreTarget": "latest"}, "name is missing"),
        ({"name": "x"}, "restoreTarget is missing"),
        ({"name": "a/b", "restoreTarget": "latest"}, "name has the character '/'"),
        ({"name": "x", "restoreTarget": "yesterday"}, "restoreTarget 'yesterday' is no moment"),
        ({"name": "x", "restoreTarget": "latest", "tags": [{"key": "chc_x"}]}, "tags[0].key 'chc_x'"),
        ({"name": "x", "restoreTarget": "latest", "target": "latest"}, "target"),
        ({"name": "x", "restoreTarget": "latest", "pgConfig": {}}, "pgConfig"),
    ],
)
async def test_what_breaks_a_rule_is_refused_by_field_and_rule(client: Client, body: dict[str, Any], said: str) -> None:
    source = await deleted(client)
    status, error = await client.refusal("POST", f"{DELETED}/{source['id']}/restoredService", json=body)
    assert status == 400
    assert said in error


async def test_what_the_archive_says_is_passed_on(client: Client, engine: FakeEngine) -> None:
    source = await deleted(client)
    url, body = f"{DELETED}/{source['id']}/restoredService", {"name": "x", "restoreTarget": "latest"}
    engine.refusal = NotRestorableError("WAL is missing from then until then")
    assert await client.refusal("POST", url, json=body) == (400, "BAD_REQUEST: WAL is missing from then until then")
    engine.outage = StoreError("the archive is out of reach")
    assert await client.refusal("POST", url, json=body) == (503, "UNAVAILABLE: the archive is out of reach")
    assert len(await client.result("GET", DELETED)) == 1


async def test_with_the_archive_out_of_reach_it_says_that_nothing_is_known_yet(
    client: Client, engine: FakeEngine
) -> None:
    engine.outage = StoreError("the archive is out of reach")
    source = await deleted(client)
    assert (await client.result("GET", f"{DELETED}/{source['id']}"))["earliestRestoreTime"] is None


async def test_a_purged_one_is_gone(client: Client) -> None:
    source = await deleted(client)
    await client.result("DELETE", f"{DELETED}/{source['id']}")
    assert await client.result("GET", DELETED) == []
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/restoredService")):
        body = {"name": "x", "restoreTarget": "latest"} if method == "POST" else None
        assert await client.refusal(method, f"{DELETED}/{source['id']}{path}", json=body) == (
            404,
            f"NOT_FOUND: there is no deleted Postgres service {source['id']} whose backups are kept",
        )


@pytest.mark.parametrize("service", [NOWHERE, "pg-no", "x" * 200])
async def test_what_was_never_there_is_404(client: Client, service: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/restoredService")):
        body = {"name": "x", "restoreTarget": "latest"} if method == "POST" else None
        assert (await client.refusal(method, f"{DELETED}/{service}{path}", json=body))[0] == 404


async def test_a_key_that_only_reads_changes_nothing(client: Client, reader: Client) -> None:
    source = await deleted(client)
    body = {"name": "x", "restoreTarget": "latest"}
    for method, path in (("DELETE", ""), ("POST", "/restoredService")):
        status, error = await reader.refusal(method, f"{DELETED}/{source['id']}{path}", json=body)
        assert (status, error[:10]) == (403, "FORBIDDEN:")
    assert len(await reader.result("GET", DELETED)) == 1


async def test_another_organization_sees_nothing_of_it(client: Client, nobody: Client) -> None:
    source = await deleted(client)
    other = await client.plane.access.create_organization("Other")
    stranger = await replace(client, organization=other.id).with_key(Role.ADMIN)
    assert await stranger.result("GET", DELETED) == []
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/restoredService")):
        body = {"name": "x", "restoreTarget": "latest"} if method == "POST" else None
        assert (await stranger.refusal(method, f"{DELETED}/{source['id']}{path}", json=body))[0] == 404
        assert (await nobody.refusal(method, f"{DELETED}/{source['id']}{path}", json=body))[0] == 401
    assert len(await client.result("GET", DELETED)) == 1
