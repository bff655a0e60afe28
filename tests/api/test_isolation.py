"""Every call of the document with a key of another organization: nothing is there, happens or is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from api.client import SERVICE, Client
from howdah.domain.organizations import Role

BODIES: dict[str, dict[str, Any]] = {
    "PostgresServicePostRequest": SERVICE,
    "PostgresServicePatchRequest": {"name": "taken"},
    "PostgresServiceSetPassword": {},
    "PostgresServiceSetState": {"command": "restart"},
    "PostgresServiceRestoreRequest": {"name": "taken", "restoreTarget": "latest"},
    "PostgresServiceReadReplicaRequest": {"name": "taken"},
    "FailoverRequest": {"acceptDataLoss": True},
    "ApiKeyPostRequest": {"name": "taken", "roles": ["admin"]},
    "ApiKeyPatchRequest": {"state": "disabled"},
}


@dataclass
class Place:
    """Ids of one organization's things, as they stand in paths."""

    client: Client
    ids: dict[str, list[str]]


async def furnished(client: Client, name: str) -> Place:
    """An organization with one of everything."""
    service = await client.running(name=name, tags=[{"key": f"project-of-{name}"}])
    made = await client.result(
        "POST",
        f"/v1/organizations/{client.organization}/keys",
        json={"name": name, "roles": ["admin"]},
    )
    found = await client.result("GET", f"/v1/organizations/{client.organization}/activities")
    beta = (await client.send("GET", client.services, headers={"Howdah-Api-Version": "beta"})).json()["result"]
    return Place(
        client,
        {
            "organizationId": [str(client.organization)],
            "postgresId": [service["id"], beta[0]["id"]],
            "keyId": [made["key"]["id"]],
            "activityId": [found[0]["id"]],
        },
    )


@pytest.fixture
async def theirs(client: Client) -> Place:
    other = await client.plane.access.create_organization("Theirs")
    key, secret = await client.plane.access.create_key(other.id, name="k", role=Role.ADMIN, api_version=None)
    return await furnished(replace(client, organization=other.id, auth=(key.key_id, secret)), "theirs")


def calls(client: Client) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of everything that wants a key."""
    for path, methods in client.document.content["paths"].items():
        for method, described in methods.items():
            if "security" in described:
                yield method.upper(), path, described


def body_of(described: dict[str, Any]) -> dict[str, Any] | None:
    content = described.get("requestBody", {}).get("content", {}).get("application/json")
    return None if content is None else BODIES[content["schema"]["$ref"].rpartition("/")[2]]


def paths(path: str, mine: Place, theirs: Place) -> Iterator[tuple[str, set[str]]]:
    """Every way to put at least one id of theirs into ``path``, and which of theirs are then in it, in all forms."""
    names = [name for name in re.findall(r"{(\w+)}", path) if name != "queryId"]
    for chosen in product(*(theirs.ids[name] + mine.ids[name] for name in names)):
        ids = dict(zip(names, chosen, strict=True))
        named = {form for name, one in ids.items() if one in theirs.ids[name] for form in theirs.ids[name]}
        if named:
            yield path.format_map(ids | {"queryId": "7"}), named


async def state_of(place: Place) -> list[Any]:
    """All that its own key sees of it."""
    client, (organization,) = place.client, place.ids["organizationId"]
    seen = [
        await client.result("GET", path)
        for path in (
            f"/v1/organizations/{organization}",
            f"/v1/organizations/{organization}/keys",
            f"/v1/organizations/{organization}/activities",
            f"{client.services}/{place.ids['postgresId'][0]}",
            client.services,
            "/v1/howdah/health",
        )
    ]
    for key in seen[1]:
        key.pop("usedAt", None)
    return seen


async def test_no_call_reaches_another_organization(client: Client, theirs: Place) -> None:
    mine = await furnished(client, "mine")
    before = await state_of(theirs)
    known = {one for ids in theirs.ids.values() for one in ids} | {"'theirs'", "project-of-theirs"}
    tried = set()
    for method, path, described in calls(client):
        body = body_of(described)
        for target, named in paths(path, mine, theirs):
            tried.add((method, path))
            answer = await client.send(method, target, **({} if body is None else {"json": body}))
            # what is not built says so before it looks at anything
            expected = {404, 501} if "501" in described["responses"] else {404}
            assert answer.status_code in expected, (method, target, answer.text)
            echoed = [one for one in known - named if one.lower() in answer.text.lower()]
            assert echoed == [], (method, target, answer.text)
    with_ids = {(method, path) for method, path, _ in calls(client) if "{" in path}
    assert tried == with_ids
    assert await state_of(theirs) == before


async def test_no_call_without_an_id_tells_of_another_organization(client: Client, theirs: Place) -> None:
    await furnished(client, "mine")
    known = [one for ids in theirs.ids.values() for one in ids] + ["project-of-theirs"]
    mine = str(client.organization)
    for method, path, _ in calls(client):
        target = path.replace("{organizationId}", mine)
        if method != "GET" or "{" in target:
            continue
        for query in ("", "?tag=project-of-theirs", "?name=theirs") if path.endswith("/postgres") else ("",):
            answer = await client.send("GET", target + query)
            assert answer.status_code in (200, 501), target
            assert [one for one in known if one in answer.text.replace(mine, "")] == [], target


async def test_a_refusal_looks_the_same_for_what_is_anothers_and_what_is_nowhere(client: Client, theirs: Place) -> None:
    nowhere = {
        "organizationId": "0d7a7f6a-5a5c-4f0e-9d6e-6a1f3d6c0001",
        "postgresId": "pg7myrd1j06p3gx4zrm2ze8qz6",
        "keyId": "0d7a7f6a-5a5c-4f0e-9d6e-6a1f3d6c0002",
        "activityId": "0d7a7f6a-5a5c-4f0e-9d6e-6a1f3d6c0003",
    }
    own = {name: ids[0] for name, ids in (await furnished(client, "mine")).ids.items()} | {"queryId": "7"}
    for method, path, described in calls(client):
        more = {} if (body := body_of(described)) is None else {"json": body}
        for name in re.findall(r"{(\w+)}", path):
            if name == "queryId":
                continue
            answers = [
                (await client.send(method, path.format_map(own | {name: one}), **more), one)
                for one in (theirs.ids[name][0], nowhere[name])
            ]
            told = {(answer.status_code, answer.json()["error"].replace(one, "ID")) for answer, one in answers}
            assert len(told) == 1, (method, path, name, told)
