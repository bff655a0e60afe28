"""What was done is told: who, from where, what, and what came of it; never a secret."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.client import SERVICE, Client
from howdah.api.calls import activities as calls
from howdah.api.operation import Access
from howdah.api.operations import OPERATIONS
from howdah.control.activities import MOST_REFUSED
from howdah.domain.errors import Unavailable
from howdah.domain.organizations import ApiVersion, Role

UNKNOWN = "f0ec08cf-59a7-4547-ac97-4100827ed943"


def path_of(client: Client) -> str:
    return f"/v1/organizations/{client.organization}/activities"


async def told(client: Client, **query: str) -> list[dict[str, Any]]:
    """The activities, oldest first, less those of the making of the test's organization and key."""
    found = await client.result("GET", path_of(client), params=query)
    return [activity for activity in reversed(found) if activity["actorType"] != "system"]


def kinds(activities: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(activity["type"], activity["changes"]) for activity in activities]


async def test_an_activity_says_who_from_where_and_what(client: Client) -> None:
    created = await client.create()
    (activity,) = await told(client)
    (mine,) = [key for key in client.plane.access.keys(client.organization) if key.name == "test"]
    assert activity == {
        "id": activity["id"],
        "createdAt": created["createdAt"],
        "type": "service_create",
        "actorType": "api",
        "actorId": str(mine.id),
        "actorDetails": "test",
        "actorIpAddress": "127.0.0.1",
        "organizationId": str(client.organization),
        "serviceId": created["id"],
        "userAgent": activity["userAgent"],
        "outcome": "succeeded",
        "changes": "'my postgres': Postgres 17, r8gd.large, aws us-west-2",
    }
    assert activity["userAgent"].startswith("python-httpx/")
    assert await client.result("GET", f"{path_of(client)}/{activity['id']}") == activity
    beta = await client.with_key(Role.QUERY_ENDPOINTS, ApiVersion.BETA)
    shown = await beta.result("GET", f"{path_of(client)}/{activity['id']}")
    assert shown["serviceId"] != created["id"]


async def test_every_change_of_a_service_is_told_and_outlives_it(client: Client) -> None:
    service = (await client.running())["id"]
    url = f"{client.services}/{service}"
    tags = [{"key": "a", "value": "b"}, {"key": "c"}]
    await client.result("PATCH", url, json={"name": "other", "tags": tags})
    await client.result("PATCH", url, json={"name": "other", "tags": tags})
    await client.result("PATCH", f"{url}/password", json={})
    await client.result("PATCH", f"{url}/password", json={"password": "Given-Password-1"})
    await client.result("PATCH", f"{url}/state", json={"command": "restart"})
    await client.in_state(service, "running")
    await client.result("POST", f"/v1/howdah/services/{service}/backups")
    began = (await client.result("POST", f"/v1/howdah/services/{service}/drills"))["startedAt"]
    restored = await client.result("POST", f"{url}/restoredService", json={"name": "copy", "restoreTarget": "latest"})
    await client.result("DELETE", url)
    expected = [
        ("service_create", "'my postgres': Postgres 17, r8gd.large, aws us-west-2"),
        ("service_update_tags", "tags: a=b, c"),
        ("service_update_name", "name: 'my postgres' → 'other'"),
        ("service_update_password", "a generated password"),
        ("service_update_password", "a given password"),
        ("service_restart", "a restart"),
        ("backup_create", "request 1"),
        ("drill_create", f"begun at {began.replace('890Z', '89Z')}"),
        ("service_restore_backup", f"'copy' from 'other' ({service}) at the latest moment"),
        ("service_delete", "'other': Postgres 17, r8gd.large, aws us-west-2"),
    ]
    assert kinds(await told(client)) == expected
    while (await client.send("GET", url)).status_code != 404:
        await asyncio.sleep(0.005)
    found = await told(client)
    assert kinds(found) == expected
    ids = [activity["serviceId"] for activity in found]
    assert ids == [service] * 8 + [restored["id"], service]
    assert {activity["outcome"] for activity in found} == {"succeeded"}
    text = (await client.send("GET", path_of(client))).text
    assert restored["password"] not in text
    assert "Given-Password-1" not in text


async def test_what_is_refused_is_told_with_the_reason(client: Client, reader: Client) -> None:
    created = await client.create(tags=[{"key": "howdah_protected", "value": "true"}])
    url = f"{client.services}/{created['id']}"
    assert (await client.refusal("DELETE", url))[0] == 409
    assert (await reader.refusal("PATCH", f"{url}/password", json={}))[0] == 403
    assert (await client.refusal("PATCH", url, json={"size": "huge"}))[0] == 400
    assert (await client.refusal("DELETE", f"{client.services}/{'x' * 26}"))[0] == 404
    _, protected, forbidden = await told(client)
    assert (protected["type"], protected["outcome"], protected["serviceId"]) == (
        "service_delete",
        "refused",
        created["id"],
    )
    assert protected["changes"].startswith(f"the service {created['id']} is protected from deletion")
    assert (forbidden["type"], forbidden["outcome"]) == ("service_update_password", "refused")
    assert forbidden["actorDetails"] == "query_endpoints"
    assert forbidden["changes"].startswith("a key with the role query_endpoints may not do this")


async def test_refusals_are_told_within_bounds(client: Client, reader: Client) -> None:
    for _ in range(MOST_REFUSED + 5):
        await reader.refusal("POST", client.services, json=SERVICE)
    assert len(await told(client)) == MOST_REFUSED
    await client.create()
    assert len(await told(client)) == MOST_REFUSED + 1


async def test_a_change_that_is_not_made_is_not_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from howdah.store import activities

    def fail(*_: object) -> None:
        raise Unavailable("the disk is full")

    created = await client.create()
    with monkeypatch.context() as patched:
        patched.setattr(activities, "add", fail)
        assert (await client.refusal("POST", client.services, json=SERVICE))[0] == 503
        assert (await client.refusal("DELETE", f"{client.services}/{created['id']}"))[0] == 503
    assert [service["id"] for service in await client.result("GET", client.services)] == [created["id"]]
    assert [activity["type"] for activity in await told(client)] == ["service_create"]


async def test_what_clients_say_of_themselves_is_bounded_and_printable(client: Client) -> None:
    await client.result("POST", client.services, json=SERVICE, headers={"User-Agent": b"x\x9b" + b"y" * 2000})
    ((agent, length),) = [(found["userAgent"][:3], len(found["userAgent"])) for found in await told(client)]
    assert (agent, length) == ("x\N{REPLACEMENT CHARACTER}y", 500)


async def test_a_list_has_a_beginning_an_end_and_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcde":
        await client.create(name=name)
        await asyncio.sleep(0.003)
    everything = await client.result("GET", path_of(client))
    assert [found["createdAt"] for found in everything] == sorted((f["createdAt"] for f in everything), reverse=True)
    second, fourth = everything[3]["createdAt"], everything[1]["createdAt"]
    assert await client.result("GET", path_of(client), params={"from_date": fourth}) == everything[:2]
    assert await client.result("GET", path_of(client), params={"to_date": second}) == everything[3:]
    both = {"from_date": second, "to_date": fourth}
    assert await client.result("GET", path_of(client), params=both) == everything[1:4]
    monkeypatch.setattr(calls, "PAGE_SIZE", 3)
    pages, query = [], {}
    while True:
        answer = (await client.send("GET", path_of(client), params=query)).json()
        pages.append(answer["result"])
        if "nextCursor" not in answer:
            break
        query = {"cursor": answer["nextCursor"]}
    assert [activity for page in pages for activity in page] == everything
    assert {len(page) for page in pages[:-1]} == {3}


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("from_date=yesterday", "query parameter from_date 'yesterday' is no moment; it must be like"),
        ("to_date=2026-01-01", "query parameter to_date '2026-01-01' is no moment"),
        ("cursor=x", "query parameter cursor is 'x'; it must be the nextCursor of the page before"),
        (f"cursor={UNKNOWN}", "it must be the nextCursor of the page before"),
        ("form_date=x", "query parameter 'form_date' is unknown; did you mean from_date?"),
        ("from_date=2026-01-01T00:00:00Z&from_date=2026-01-01T00:00:00Z", "query parameter from_date is given twice"),
    ],
)
async def test_a_wrong_query_is_named(client: Client, query: str, sentence: str) -> None:
    status, error = await client.refusal("GET", f"{path_of(client)}?{query}")
    assert status == 400
    assert sentence in error


@pytest.mark.parametrize("unknown", ["nonsense", "7", UNKNOWN])
async def test_an_unknown_activity_is_404(client: Client, unknown: str) -> None:
    assert (await client.refusal("GET", f"{path_of(client)}/{unknown}"))[0] == 404


async def test_another_organizations_activities_are_not_there(client: Client) -> None:
    await client.create()
    (mine,) = await told(client)
    other = await client.plane.access.create_organization("Other")
    key, secret = await client.plane.access.create_key(other.id, name="k", role=Role.ADMIN, api_version=None)
    stranger = replace(client, organization=other.id, auth=(key.key_id, secret))
    found = await stranger.result("GET", path_of(stranger))
    assert [activity["type"] for activity in found] == ["key_create", "create_organization"]
    assert (await stranger.refusal("GET", f"{path_of(stranger)}/{mine['id']}"))[0] == 404
    assert (await stranger.refusal("GET", f"{path_of(stranger)}?cursor={mine['id']}"))[0] == 400


async def test_old_activities_are_forgotten(client: Client) -> None:
    await client.create()
    activities = client.plane.activities
    assert len(await told(client)) == 1
    await activities.forget_old()
    assert len(await told(client)) == 1
    activities._clock = lambda: client.plane._clock() + timedelta(days=90, seconds=1)
    await activities.forget_old()
    assert await client.result("GET", path_of(client)) == []


def test_every_call_that_changes_something_is_told() -> None:
    changing = {operation.id for operation in OPERATIONS if operation.access is not Access.READ}
    told = {operation.id for operation in OPERATIONS if operation.activity is not None}
    reading = {operation.id for operation in OPERATIONS if operation.method == "GET"}
    assert changing - reading == told
    assert not told & reading
    assert all(re.fullmatch("GET|POST|PATCH|DELETE", operation.method) for operation in OPERATIONS)
