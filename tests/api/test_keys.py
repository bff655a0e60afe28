"""API keys by API: made, changed, deleted; and what keeps an organization from losing the last one."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.client import Client, eventually
from api.wire import CLOSE, Wire
from howdah.api.app import create_app
from howdah.domain import keys as rules
from howdah.domain.organizations import KeyState, Role

ADMIN = "22aa0049-09f8-517e-8f02-a8d751cc186b"
DEVELOPER = "2dad9458-5210-5859-a718-e4cb3cfc57cf"


def path_of(client: Client) -> str:
    return f"/v1/organizations/{client.organization}/keys"


def sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


async def create(client: Client, **fields: Any) -> dict[str, Any]:
    return await client.result("POST", path_of(client), json={"name": "new", "roles": ["developer"]} | fields)


async def own(client: Client) -> dict[str, Any]:
    (mine,) = [key for key in await client.result("GET", path_of(client)) if key["name"] == "test"]
    return mine


async def alone(client: Client) -> str:
    """The path of the client's key, once it is the only one of its organization."""
    for key in await client.result("GET", path_of(client)):
        if key["name"] != "test":
            await client.result("DELETE", f"{path_of(client)}/{key['id']}")
    return f"{path_of(client)}/{(await own(client))['id']}"


def by(client: Client, made: dict[str, Any]) -> Client:
    return replace(client, auth=(made["keyId"], made["keySecret"]))


def from_address(client: Client, address: str) -> Client:
    transport = httpx.ASGITransport(create_app(client.plane), raise_app_exceptions=False, client=(address, 5))
    return replace(client, http=httpx.AsyncClient(transport=transport, base_url="http://howdah.test"))


async def test_a_key_is_made_and_its_secret_shown_once(client: Client) -> None:
    made = await create(client)
    assert made["key"] == {
        "id": made["key"]["id"],
        "name": "new",
        "state": "enabled",
        "roles": ["developer"],
        "assignedRoles": [{"roleId": DEVELOPER, "roleName": "Developer", "roleType": "system"}],
        "keySuffix": made["keySecret"][-4:],
        "createdAt": made["key"]["createdAt"],
        "expireAt": None,
        "ipAccessList": [{"source": "0.0.0.0/0"}, {"source": "::/0"}],
    }
    assert set(made) == {"key", "keyId", "keySecret"}
    assert await client.result("GET", f"{path_of(client)}/{made['key']['id']}") == made["key"]
    assert made["keySecret"] not in (await client.send("GET", path_of(client))).text
    assert await by(client, made).result("GET", client.services) == []
    assert (await by(client, made).refusal("GET", path_of(client)))[0] == 403


async def test_everything_of_a_key_can_be_said_when_it_is_made(client: Client) -> None:
    sources = [{"source": "127.0.0.1", "description": "here"}, {"source": "2001:db8::/32"}]
    made = await create(
        client,
        name="  all  ",
        roles=["query_endpoints", "developer"],
        assignedRoleIds=[DEVELOPER.upper(), "d2241407-b90a-5af2-b15a-9bcab9d3fa86"],
        state="disabled",
        expireAt="2999-01-01T01:00:00+01:00",
        ipAccessList=sources,
    )
    shown = made["key"]
    assert (shown["name"], shown["state"], shown["expireAt"]) == ("all", "disabled", "2999-01-01T00:00:00.000Z")
    assert set(shown["roles"]) == {"query_endpoints", "developer"}
    assert shown["ipAccessList"] == sources
    assert (await by(client, made).refusal("GET", client.services))[0] == 401


@pytest.mark.parametrize("never", [None, ""])
async def test_no_expiry_may_be_said_too(client: Client, never: str | None) -> None:
    assert (await create(client, expireAt=never))["key"]["expireAt"] is None


async def test_a_client_may_keep_its_key_to_itself(client: Client) -> None:
    hashes = {"keyIdHash": sha256("myownkeyid"), "keyIdSuffix": "eyid", "keySecretHash": sha256("my own secret")}
    made = await create(client, roles=["admin"], hashData=hashes)
    assert set(made) == {"key"}
    assert made["key"]["keySuffix"] == "eyid"
    theirs = replace(client, auth=("myownkeyid", "my own secret"))
    assert await theirs.result("GET", client.services) == []
    for auth in (
        ("myownkeyid", "my own secre"),
        (hashes["keyIdHash"], "my own secret"),
        (f"sha256:{hashes['keyIdHash']}", "my own secret"),
    ):
        assert (await replace(client, auth=auth).refusal("GET", client.services))[0] == 401
    again = {"name": "x", "roles": ["admin"], "hashData": hashes}
    refused = await client.refusal("POST", path_of(client), json=again)
    assert refused == (
        409,
        "CONFLICT: hashData.keyIdHash is the hash of a key id that is taken; choose another key id",
    )


async def test_hashes_of_another_key_id_do_not_get_in_its_way(client: Client) -> None:
    other = await client.plane.access.create_organization("Other")
    key, secret = await client.plane.access.create_key(other.id, name="k", role=Role.ADMIN, api_version=None)
    await create(
        client,
        hashData={
            "keyIdHash": sha256(key.key_id),
            "keyIdSuffix": key.key_id[-4:],
            "keySecretHash": sha256("another secret"),
        },
    )
    theirs, mine = replace(client, auth=(key.key_id, secret)), replace(client, auth=(key.key_id, "another secret"))
    assert [one["id"] for one in await theirs.result("GET", "/v1/organizations")] == [str(other.id)]
    assert [one["id"] for one in await mine.result("GET", "/v1/organizations")] == [str(client.organization)]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": " "}, "name has 0 characters; it must have 1 to 50"),
        ({"name": "x" * 51}, "name has 51 characters"),
        ({"name": "a\nb"}, "name has the character '\\n'"),
        ({"name": 7}, "name must be a string, not a number"),
        ({"roles": []}, "roles is empty; it must have one role at least"),
        ({"roles": ["admin", "admin"]}, "roles names a role twice"),
        ({"roles": ["owner"]}, "roles[0] must be 'admin', 'developer' or 'query_endpoints', not 'owner'"),
        ({"roles": "admin"}, "roles must be an array, not a string"),
        ({"assignedRoleIds": []}, "assignedRoleIds is empty"),
        ({"assignedRoleIds": ["x"]}, f"assignedRoleIds[0] 'x' is no role; there are: {ADMIN} (admin), "),
        ({"assignedRoleIds": [ADMIN]}, "roles and assignedRoleIds name different roles; give one of them"),
        ({"state": "on"}, "state must be 'enabled' or 'disabled', not 'on'"),
        ({"expireAt": "tomorrow"}, "expireAt 'tomorrow' is no moment; it must be like"),
        ({"expireAt": "2026-01-01T00:00:00Z"}, "expireAt 2026-01-01T00:00:00Z has passed"),
        ({"ipAccessList": None}, "ipAccessList must be an array, not null"),
        ({"ipAccessList": [{"source": "here"}]}, "ipAccessList[0].source 'here' must be an IPv4 or IPv6 address, or a"),
        ({"ipAccessList": [{"source": "10.0.0.1/8"}]}, "has bits beyond its prefix; the network is 10.0.0.0/8"),
        ({"ipAccessList": [{"source": "::1"}, {"source": "0::1/128"}]}, "ipAccessList[1].source '0::1/128' is there"),
        ({"ipAccessList": [{"source": "::1", "text": "x"}]}, "field 'ipAccessList[0].text' is unknown; known: source"),
        ({"ipAccessList": [{"description": "x"}]}, "ipAccessList[0].source is missing; it is required"),
        ({"ipAccessList": [{"source": "::1", "description": "x" * 257}]}, "ipAccessList[0].description has 257"),
        ({"ipAccessList": [{"source": f"10.0.{n}.0/24"} for n in range(257)]}, "at most 256 are allowed"),
        ({"hashData": {}}, "hashData.keyIdHash is missing; it is required"),
        ({"hashData": {"keyIdHash": "x", "keyIdSuffix": "abcd", "keySecretHash": "x"}}, "hashData.keyIdHash must be a"),
        (
            {"hashData": {"keyIdHash": sha256("a"), "keyIdSuffix": "a", "keySecretHash": "x"}},
            "hashData.keyIdSuffix must",
        ),
        (
            {"hashData": {"keyIdHash": sha256("a"), "keyIdSuffix": "abcd", "keySecretHash": sha256("")}},
            "hash of nothing",
        ),
        ({"keySecret": "x"}, "field 'keySecret' is unknown"),
    ],
)
async def test_a_key_that_breaks_a_rule_is_not_made(client: Client, fields: dict[str, Any], sentence: str) -> None:
    before = await client.result("GET", path_of(client))
    status, error = await client.refusal("POST", path_of(client), json={"name": "n", "roles": ["developer"]} | fields)
    assert status == 400
    assert sentence in error
    assert await client.result("GET", path_of(client)) == before


async def test_roles_and_a_name_are_required(client: Client) -> None:
    for body, sentence in (
        ({"name": "x"}, "roles is missing; give roles or assignedRoleIds"),
        ({"roles": ["admin"]}, "name is missing"),
    ):
        status, error = await client.refusal("POST", path_of(client), json=body)
        assert (status, sentence in error) == (400, True)


async def test_a_patch_changes_what_it_names(client: Client) -> None:
    made = await create(client)
    path, key = f"{path_of(client)}/{made['key']['id']}", made["key"]
    for change, shown in (
        ({"name": "other"}, {"name": "other"}),
        ({"state": "disabled"}, {"state": "disabled"}),
        ({"state": "enabled"}, {"state": "enabled"}),
        ({"expireAt": "2999-01-01T00:00:00Z"}, {"expireAt": "2999-01-01T00:00:00.000Z"}),
        ({"expireAt": None}, {"expireAt": None}),
        ({"ipAccessList": [{"source": "::1"}]}, {"ipAccessList": [{"source": "::1"}]}),
        ({"ipAccessList": key["ipAccessList"]}, {"ipAccessList": key["ipAccessList"]}),
        ({}, {}),
    ):
        key = key | shown
        assert await client.result("PATCH", path, json=change) == key
    roles = await client.result("PATCH", path, json={"assignedRoleIds": [ADMIN]})
    assert roles["roles"] == ["admin"]
    assert await by(client, made).send("GET", path_of(client))


async def test_each_change_of_a_key_is_told_and_never_its_secret(client: Client) -> None:
    made = await create(client)
    path = f"{path_of(client)}/{made['key']['id']}"
    change = {
        "name": "other",
        "roles": ["admin"],
        "state": "disabled",
        "expireAt": "2999-01-01T00:00:00Z",
        "ipAccessList": [{"source": "10.0.0.0/8"}],
    }
    await client.result("PATCH", path, json=change)
    await client.result("PATCH", path, json=change)
    await client.result("DELETE", path)
    answer = await client.send("GET", f"/v1/organizations/{client.organization}/activities")
    assert made["keySecret"] not in answer.text
    about = [one for one in reversed(answer.json()["result"]) if one.get("targetKeyId") == made["key"]["id"]]
    assert [(one["type"], one.get("keyUpdateType"), one["changes"]) for one in about] == [
        ("key_create", None, "'new': developer"),
        ("openapi_key_update", "name-changed", "name: 'new' → 'other'"),
        ("openapi_key_update", "role-changed", "roles: developer → admin"),
        ("openapi_key_update", "state-changed", "state: enabled → disabled"),
        ("openapi_key_update", "date-changed", "expireAt: never → 2999-01-01T00:00:00Z"),
        ("openapi_key_update", "ip-access-list-changed", "ipAccessList: everywhere → 10.0.0.0/8"),
        ("key_delete", None, "'other'"),
    ]


async def test_a_change_counts_for_the_next_request(client: Client) -> None:
    made = await create(client, roles=["admin"])
    path, theirs = f"{path_of(client)}/{made['key']['id']}", by(client, made)
    assert (await theirs.send("GET", path_of(client))).status_code == 200
    await client.result("PATCH", path, json={"roles": ["query_endpoints"]})
    assert (await theirs.refusal("GET", path_of(client)))[0] == 403
    await client.result("PATCH", path, json={"state": "disabled"})
    assert (await theirs.refusal("GET", client.services))[0] == 401
    await client.result("PATCH", path, json={"state": "enabled"})
    assert (await theirs.send("GET", client.services)).status_code == 200
    await client.result("DELETE", path)
    assert (await theirs.refusal("GET", client.services))[0] == 401
    assert (await client.refusal("GET", path))[0] == 404
    assert (await client.refusal("DELETE", path))[0] == 404
    assert (await client.refusal("PATCH", path, json={}))[0] == 404


async def test_an_expired_key_is_refused(client: Client) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    made = await create(client, expireAt=soon.isoformat())
    assert (await by(client, made).send("GET", client.services)).status_code == 200
    client.plane.access._clock = lambda: soon
    assert (await by(client, made).refusal("GET", client.services))[0] == 401


@pytest.mark.parametrize(
    ("sources", "inside", "outside"),
    [
        (["192.0.2.0/24"], ["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.7"], ["192.0.3.0", "2001:db8::1", "nonsense"]),
        (["192.0.2.7"], ["192.0.2.7"], ["192.0.2.8"]),
        (["2001:db8::/32", "fe80::/64"], ["2001:db8:ffff::1", "fe80::1%eth0"], ["2001:db9::1", "192.0.2.7"]),
        (["0.0.0.0/0"], ["192.0.2.7"], ["::1"]),
        ([], [], ["192.0.2.7", "::1"]),
    ],
)
async def test_an_access_list_holds_for_each_request(
    client: Client, sources: list[str], inside: list[str], outside: list[str]
) -> None:
    made = await create(client, ipAccessList=[{"source": source} for source in sources])
    for address in inside:
        assert (await from_address(by(client, made), address).send("GET", client.services)).status_code == 200, address
    for address in outside:
        status, _ = await from_address(by(client, made), address).refusal("GET", client.services)
        assert status == 401, address


async def test_the_address_is_the_peers_whatever_headers_say(client: Client, wire: Wire) -> None:
    for source, status in (("127.0.0.0/8", 200), ("192.0.2.7", 401)):
        made = await create(client, ipAccessList=[{"source": source}])
        basic = base64.b64encode(f"{made['keyId']}:{made['keySecret']}".encode()).decode()
        for header in ("X-Forwarded-For: 192.0.2.7", "X-Real-IP: 192.0.2.7", "Forwarded: for=192.0.2.7"):
            request = f"GET {client.services} HTTP/1.1\r\nAuthorization: Basic {basic}\r\n{header}\r\n"
            assert (await wire.send(request.encode() + CLOSE + b"\r\n")).status == status, (source, header)


async def test_the_key_of_a_request_cannot_delete_itself(client: Client) -> None:
    await create(client, roles=["admin"])
    mine = await own(client)
    assert await client.refusal("DELETE", f"{path_of(client)}/{mine['id']}") == (
        409,
        "CONFLICT: this is the key that the request is made with; delete it with another one",
    )


@pytest.mark.parametrize(
    ("change", "deed"),
    [
        ({"state": "disabled"}, "disabled"),
        ({"roles": ["developer", "query_endpoints"]}, "demoted"),
        ({"expireAt": "2999-01-01T00:00:00Z"}, "made to expire"),
        ({"ipAccessList": []}, "closed to every address"),
    ],
)
async def test_the_last_admin_key_stays_usable(client: Client, change: dict[str, Any], deed: str) -> None:
    path = await alone(client)
    before = await client.result("GET", path)
    status, error = await client.refusal("PATCH", path, json=change)
    assert status == 409
    assert error.startswith(
        f"CONFLICT: the key 'test' cannot be {deed}: it is the organization's last usable admin key"
    )
    assert await client.result("GET", path) == before
    spare = await create(client, roles=["admin"])
    await client.result("PATCH", path, json=change)
    theirs = by(client, spare)
    assert (await theirs.send("GET", path_of(client))).status_code == 200
    assert (await theirs.refusal("PATCH", f"{path_of(client)}/{spare['key']['id']}", json=change))[0] == 409


async def test_the_last_admin_key_cannot_shut_out_its_own_address(client: Client) -> None:
    path = await alone(client)
    elsewhere = {"ipAccessList": [{"source": "192.0.2.0/24"}]}
    status, error = await client.refusal("PATCH", path, json=elsewhere)
    assert (status, "ipAccessList would lock you out: it has no 127.0.0.1, from where you ask" in error) == (409, True)
    here = {"ipAccessList": [{"source": "192.0.2.0/24"}, {"source": "127.0.0.0/8"}]}
    assert (await client.result("PATCH", path, json=here))["ipAccessList"] == here["ipAccessList"]
    await create(client, roles=["admin"])
    assert await client.result("PATCH", path, json=elsewhere)
    assert (await client.refusal("GET", path))[0] == 401


async def test_another_key_that_cannot_be_used_does_not_count(client: Client) -> None:
    path = await alone(client)
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    await create(client, roles=["admin"], state="disabled")
    await create(client, roles=["admin"], ipAccessList=[])
    await create(client, roles=["developer"])
    assert (await client.refusal("PATCH", path, json={"state": "disabled"}))[0] == 409
    await create(client, roles=["admin"], expireAt=soon)
    status, error = await client.refusal("PATCH", path, json={"state": "disabled"})
    assert (status, "last usable admin key that does not expire" in error) == (409, True)


async def test_the_command_line_keeps_the_last_admin_key_too(client: Client) -> None:
    from howdah.domain.errors import Conflict

    path = await alone(client)
    assert client.auth is not None
    with pytest.raises(Conflict, match="cannot be disabled"):
        await client.plane.access.revoke_key(client.auth[0])
    assert (await client.result("GET", path))["state"] == KeyState.ENABLED


async def test_two_admins_cannot_disable_each_other_at_once(client: Client) -> None:
    path = await alone(client)
    spare = await create(client, roles=["admin"])
    theirs, store = by(client, spare), client.plane.store
    go_on = threading.Event()
    holding = asyncio.create_task(store.write(lambda _: go_on.wait(10)))
    both = asyncio.gather(
        client.send("PATCH", f"{path_of(client)}/{spare['key']['id']}", json={"state": "disabled"}),
        theirs.send("PATCH", path, json={"state": "disabled"}),
    )
    await eventually("both are let in and wait for their turn", lambda: store._writer._work_queue.qsize() == 2)
    go_on.set()
    await holding
    assert sorted(answer.status_code for answer in await both) == [200, 409]


async def test_the_use_of_a_key_is_shown_to_the_minute(client: Client) -> None:
    made = await create(client)
    path = f"{path_of(client)}/{made['key']['id']}"
    assert "usedAt" not in await client.result("GET", path)
    await by(client, made).result("GET", client.services)
    used = (await client.result("GET", path))["usedAt"]
    assert used.endswith(":00.000Z")
    await client.plane.access.store_uses()
    client.plane.access._used = {}
    assert (await client.result("GET", path))["usedAt"] == used


async def test_an_organization_has_a_bounded_number_of_keys(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from howdah.control import access

    assert rules.MAX_KEYS == 1000
    monkeypatch.setattr(access, "MAX_KEYS", 3)
    await create(client)
    body = {"name": "x", "roles": ["admin"]}
    status, error = await client.refusal("POST", path_of(client), json=body)
    assert (status, error) == (
        409,
        "CONFLICT: the organization has 3 keys, the most that it may have; delete one first",
    )


async def test_keys_are_changed_by_admins_alone(client: Client, reader: Client) -> None:
    made = await create(client)
    path = f"{path_of(client)}/{made['key']['id']}"
    developer = await client.with_key(Role.DEVELOPER)
    for key in (developer, reader):
        assert (await key.refusal("POST", path_of(client), json={"name": "x", "roles": ["admin"]}))[0] == 403
        assert (await key.refusal("PATCH", path, json={"roles": ["admin"]}))[0] == 403
        assert (await key.refusal("DELETE", path))[0] == 403
    assert await client.result("GET", path) == made["key"]
