"""PATCH of a service: a JSON merge patch."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from api.client import Client
from api.fake_engine import FakeEngine

TAGS = [{"key": "Environment", "value": "production"}, {"key": "bare"}]


async def test_tags_alone_change_tags_alone(client: Client) -> None:
    running = await client.running()
    url = f"{client.services}/{running['id']}"
    assert await client.result("PATCH", url, json={"tags": TAGS}) == running | {"tags": TAGS}
    assert await client.result("PATCH", url, json={}) == running | {"tags": TAGS}


@pytest.mark.parametrize("nothing", [None, []])
async def test_null_and_an_empty_array_clear_the_tags(client: Client, nothing: object) -> None:
    running = await client.running(tags=TAGS)
    url = f"{client.services}/{running['id']}"
    assert await client.result("PATCH", url, json={"tags": nothing}) == running | {"tags": []}


async def test_a_new_name_brings_a_new_hostname(client: Client) -> None:
    running = await client.running()
    url = f"{client.services}/{running['id']}"
    renamed = await client.result("PATCH", url, json={"name": "Other name"})
    assert renamed["hostname"].startswith("other-name-")
    assert renamed == running | {
        "name": "Other name",
        "hostname": renamed["hostname"],
        "connectionString": running["connectionString"].replace(running["hostname"], renamed["hostname"]),
    }


@pytest.mark.parametrize("version", ["preview", "beta"])
async def test_what_was_read_can_be_sent_back_whole(client: Client, engine: FakeEngine, version: str) -> None:
    engine.earliest = datetime(2024, 3, 4, tzinfo=UTC)
    running = await client.running(tags=TAGS)
    url, headers = f"{client.services}/{running['id']}", {"Howdah-Api-Version": version}
    read = await client.result("GET", url, headers=headers)
    assert await client.result("PATCH", url, json=read, headers=headers) == read
    assert await client.result("PATCH", url, json=running, headers=headers) == read


async def test_the_media_type_of_merge_patches_is_accepted(client: Client) -> None:
    url = f"{client.services}/{(await client.create())['id']}"
    headers = {"Content-Type": "application/merge-patch+json; charset=utf-8"}
    assert (await client.result("PATCH", url, content=b'{"name":"y"}', headers=headers))["name"] == "y"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": None}, "name must be a string, not null"),
        ({"name": ""}, "name is empty"),
        ({"size": "huge"}, "size 'huge' is not offered by aws in us-west-2"),
        ({"size": None}, "size must be a string, not null"),
        ({"storageSize": 237}, "storageSize cannot change by itself (it is 118)"),
        ({"region": "us-east-1"}, "region cannot change (it is 'us-west-2')"),
        ({"provider": "gcp"}, "provider cannot change (it is 'aws')"),
        ({"postgresVersion": "18"}, "postgresVersion cannot change (it is '17')"),
        ({"postgresVersion": 17}, "postgresVersion must be '17' or '18', not a number"),
        ({"earliestRestoreTime": "2024-03-04T00:00:00.000Z"}, "earliestRestoreTime cannot change: it follows the back"),
        ({"ipAccessList": {"add": []}}, "ipAccessList is not yet supported"),
        ({"pgConfig": {}}, "pgConfig is not yet supported"),
        ({"state": "stopped"}, "state cannot change: it says what is; PATCH …/state takes commands"),
        ({"password": "Abcdefghij12"}, "password cannot change: PATCH …/password sets it"),
        ({"hostname": "mine"}, "hostname cannot change: it follows the name"),
        ({"isPrimary": 1}, "isPrimary cannot change"),
        ({"id": "pg7myrd1j06p3gx4zrm2ze8qz6"}, "id cannot change"),
        ({"id": None}, "id cannot change"),
        ({"tag": []}, "field 'tag' is unknown; did you mean tags?"),
        ({"name": "y", "tags": [{"key": ""}]}, "tags[0].key is empty"),
    ],
)
async def test_a_patch_that_breaks_a_rule_names_it_and_changes_nothing(
    client: Client, fields: dict[str, Any], said: str
) -> None:
    running = await client.running()
    url = f"{client.services}/{running['id']}"
    status, error = await client.refusal("PATCH", url, json=fields)
    assert (status, error[: len(f"BAD_REQUEST: {said}")]) == (400, f"BAD_REQUEST: {said}")
    assert await client.result("GET", url) == running
