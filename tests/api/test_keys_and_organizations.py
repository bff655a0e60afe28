"""Who may do what, and what nobody may learn."""

from __future__ import annotations

import base64
from dataclasses import replace
from uuid import uuid4

import pytest

from api.client import SERVICE, Client
from howdah.domain.organizations import ApiVersion, Role


def _basic(content: bytes) -> str:
    return "Basic " + base64.b64encode(content).decode()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic YQ",
        "Bearer x",
        _basic(b"no colon"),
        _basic(b"\xff:\xfe"),
        _basic(b":"),
        _basic(b"\0:\0"),
        _basic(b"x" * 5000 + b":y"),
    ],
)
async def test_an_authorization_that_is_none_is_401(nobody: Client, value: str) -> None:
    answer = await nobody.send("GET", nobody.services, headers={"Authorization": value})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="howdah"')


async def test_two_authorizations_are_401(client: Client) -> None:
    assert client.auth is not None
    good = _basic(":".join(client.auth).encode())
    nobody = replace(client, auth=None)
    assert (await nobody.send("GET", client.services, headers={"Authorization": good})).status_code == 200
    twice = [("Authorization", good), ("Authorization", good)]
    assert (await nobody.send("GET", client.services, headers=twice)).status_code == 401


async def test_the_scheme_is_read_in_either_case(client: Client) -> None:
    assert client.auth is not None
    good = _basic(":".join(client.auth).encode()).replace("Basic", "bASIC")
    answer = await replace(client, auth=None).send("GET", client.services, headers={"Authorization": good})
    assert answer.status_code == 200


async def test_a_wrong_id_and_a_wrong_secret_look_alike(client: Client) -> None:
    assert client.auth is not None
    key_id, secret = client.auth
    refusals = [
        await replace(client, auth=auth).refusal("GET", client.services)
        for auth in (
            (key_id, "wrong"),
            ("wrong", secret),
            (key_id, ""),
            (key_id, secret + "x"),
            (f"{key_id}x", secret),
        )
    ]
    sentence = (
        "UNAUTHORIZED: the key id or the key secret is wrong, or the key is disabled, has expired or may not be used"
        " from this address"
    )
    assert set(refusals) == {(401, sentence)}


async def test_a_revoked_key_is_refused_at_once(client: Client) -> None:
    other = await client.with_key(Role.ADMIN)
    assert other.auth is not None
    assert (await other.send("GET", other.services)).status_code == 200
    await client.plane.access.revoke_key(other.auth[0])
    assert (await other.send("GET", other.services)).status_code == 401


async def test_authentication_comes_before_everything_else(nobody: Client) -> None:
    for method, path in (
        ("GET", "/v1/organizations/nonsense/postgres"),
        ("POST", nobody.services),
        ("GET", f"{nobody.services}/x/backups"),
        ("GET", f"{nobody.services}?nonsense=1"),
    ):
        answer = await nobody.send(method, path, headers={"Howdah-Api-Version": "nonsense"})
        assert answer.status_code == 401


async def test_another_organization_looks_like_none(client: Client) -> None:
    other = await client.plane.access.create_organization("Other")
    for organization in (other.id, uuid4(), "nonsense", f"{{{client.organization}}}", client.organization.hex):
        for suffix in ("", "/postgres", "/postgres/x", "/keys", "/activities", "/postgres/x/backups"):
            path = f"/v1/organizations/{organization}{suffix}"
            headers = {"Howdah-Api-Version": "nonsense"}
            assert await client.refusal("GET", path, headers=headers) == (
                404,
                f"NOT_FOUND: there is no organization '{organization}'",
            )
    shouted = f"/v1/organizations/{str(client.organization).upper()}/postgres"
    assert await client.result("GET", shouted) == []


async def test_another_organizations_service_is_404(client: Client) -> None:
    created = await client.create()
    other = await client.plane.access.create_organization("Other")
    key, secret = await client.plane.access.create_key(other.id, name="k", role=Role.ADMIN, api_version=None)
    stranger = replace(client, organization=other.id, auth=(key.key_id, secret))
    assert await stranger.result("GET", stranger.services) == []
    for path in (f"{stranger.services}/{created['id']}", f"/v1/howdah/services/{created['id']}"):
        assert (await stranger.refusal("GET", path))[0] == 404
    assert (await stranger.refusal("DELETE", f"{stranger.services}/{created['id']}"))[0] == 404
    assert (await stranger.refusal("GET", f"{stranger.services}/{created['id']}/caCertificates"))[0] == 404


async def test_a_reading_key_reads_without_credentials_and_changes_nothing(client: Client, reader: Client) -> None:
    running = await client.running()
    url = f"{reader.services}/{running['id']}"
    shown = await reader.result("GET", url)
    assert shown == {key: value for key, value in running.items() if key not in ("password", "connectionString")}
    assert (await reader.send("GET", f"{url}/caCertificates")).status_code == 200
    found = await reader.send("GET", f"/v1/howdah/services/{running['id']}/connections")
    assert running["password"] not in found.text
    for method, path, body in (
        ("POST", reader.services, SERVICE),
        ("PATCH", url, {"tags": []}),
        ("DELETE", url, None),
        ("PATCH", f"{url}/password", {}),
        ("PATCH", f"{url}/state", {"command": "restart"}),
        ("POST", f"{url}/readReplica", {"name": "x"}),
    ):
        status, error = await reader.refusal(method, path, json=body)
        assert status == 403
        assert error.startswith("FORBIDDEN: a key with the role query_endpoints may not do this (")
    assert await client.result("GET", url) == running


async def test_keys_are_for_admins(client: Client, reader: Client) -> None:
    developer = await client.with_key(Role.DEVELOPER)
    assert (await developer.create())["state"] == "creating"
    for key in (developer, reader):
        assert (await key.refusal("GET", f"/v1/organizations/{client.organization}/keys"))[0] == 403


async def test_keys_are_listed_and_read_without_their_secrets(client: Client) -> None:
    path = f"/v1/organizations/{client.organization}/keys"
    keys = await client.result("GET", path)
    (mine,) = [key for key in keys if key["name"] == "test"]
    assert client.auth is not None
    assert mine == {
        "id": mine["id"],
        "name": "test",
        "state": "enabled",
        "roles": ["admin"],
        "assignedRoles": [
            {"roleId": "22aa0049-09f8-517e-8f02-a8d751cc186b", "roleName": "Admin", "roleType": "system"}
        ],
        "keySuffix": client.auth[1][-4:],
        "createdAt": mine["createdAt"],
        "expireAt": None,
        "usedAt": mine["usedAt"],
        "ipAccessList": [{"source": "0.0.0.0/0"}, {"source": "::/0"}],
    }
    assert await client.result("GET", f"{path}/{mine['id']}") == mine
    for unknown in (uuid4(), "nonsense"):
        assert (await client.refusal("GET", f"{path}/{unknown}"))[0] == 404


async def test_organizations_are_the_keys_own(client: Client) -> None:
    await client.plane.access.create_organization("Other")
    (mine,) = await client.result("GET", "/v1/organizations")
    assert mine["id"] == str(client.organization)
    assert await client.result("GET", f"/v1/organizations/{client.organization}") == mine


@pytest.mark.parametrize("role", Role)
async def test_a_key_may_pin_a_version_whatever_its_role(client: Client, role: Role) -> None:
    created = await client.create()
    key = await client.with_key(role, ApiVersion.BETA)
    shown = await key.result("GET", f"{key.services}/{created['id']}")
    assert shown["id"] != created["id"]
