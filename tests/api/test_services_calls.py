"""The life of a service, as the calls tell it."""

from __future__ import annotations

import re

import pytest

from api.client import SERVICE, Client
from api.fake_engine import FakeEngine

SEED_ORDER = [
    *("id", "name", "provider", "region", "postgresVersion", "size", "storageSize", "haType", "tags"),
    *("connectionString", "username", "password", "hostname", "isPrimary", "state"),
]


async def test_create_answers_at_once_with_the_seeds_fields_in_the_seeds_order(
    client: Client, engine: FakeEngine
) -> None:
    engine.held = True
    created = await client.create(postgresVersion="18", storageSize=118)
    assert list(created) == [*SEED_ORDER, "createdAt", "ipAccessList"]
    port = client.plane.router_port
    assert created == {
        **SERVICE,
        "id": created["id"],
        "postgresVersion": "18",
        "storageSize": 118,
        "haType": "none",
        "tags": [],
        "connectionString": f"postgres://postgres:{created['password']}@{created['hostname']}:{port}/postgres"
        "?channel_binding=require",
        "username": "postgres",
        "password": created["password"],
        "hostname": created["hostname"],
        "isPrimary": True,
        "state": "creating",
        "createdAt": created["createdAt"],
        "ipAccessList": [
            {"id": created["ipAccessList"][0]["id"], "source": "0.0.0.0/0", "portRange": "5432..6432"},
            {"id": created["ipAccessList"][1]["id"], "source": "::/0", "portRange": "5432..6432"},
        ],
    }
    assert re.fullmatch(r"pg[0-9a-hjkmnp-tv-z]{24}", created["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created["createdAt"])


async def test_what_create_leaves_out_is_filled_in(client: Client) -> None:
    created = await client.create()
    assert (created["postgresVersion"], created["storageSize"], created["haType"]) == ("17", 118, "none")


async def test_a_service_is_read_until_it_runs(client: Client) -> None:
    created = await client.create()
    assert await client.in_state(created["id"], "running") == created | {"state": "running"}


async def test_delete_answers_without_a_result_and_again_until_it_is_gone(client: Client, engine: FakeEngine) -> None:
    engine.keeps = True
    url = f"{client.services}/{(await client.running())['id']}"
    for _ in range(2):
        answer = await client.send("DELETE", url)
        assert (answer.status_code, set(answer.json())) == (200, {"requestId", "status"})
    assert (await client.result("GET", url))["state"] == "deleting"


async def test_a_protected_service_is_deleted_only_once_its_tag_is_gone(client: Client) -> None:
    service = await client.running(tags=[{"key": "howdah_protected", "value": "true"}, {"key": "team"}])
    url = f"{client.services}/{service['id']}"
    said = f"CONFLICT: the service {service['id']} is protected from deletion: remove its tag howdah_protected"
    assert await client.refusal("DELETE", url) == (409, f"{said} (PATCH with the other tags), then delete it")
    assert (await client.result("GET", url))["state"] == "running"
    await client.result("PATCH", url, json={"tags": [{"key": "team"}]})
    assert (await client.send("DELETE", url)).status_code == 200


async def test_a_service_is_reached_by_ubid_and_by_uuid_in_either_case_and_by_misread_letters(client: Client) -> None:
    created = await client.create()
    shown = await client.result("GET", f"{client.services}/{created['id']}", headers={"Howdah-Api-Version": "beta"})
    misread = created["id"].replace("0", "O").replace("1", "l")
    for spelling in (created["id"], created["id"].upper(), shown["id"], shown["id"].upper(), misread):
        assert (await client.result("GET", f"{client.services}/{spelling}"))["id"] == created["id"]


@pytest.mark.parametrize(
    "text",
    [
        "pg0000000000000000000000zz",
        "pv7myrd1j06p3gx4zrm2ze8qz6",
        "3d3d8686-4035-46d0-8749-fc505f722ff3",
        "pg7myrd1j06p3gx4zrm2ze8qz7",
        "x",
        "%00",
        "%ff%fe",
        "a" * 3000,
    ],
)
async def test_a_text_that_is_no_id_is_404_on_every_call_of_a_service(client: Client, text: str) -> None:
    url = f"{client.services}/{text}"
    assert (await client.refusal("GET", url))[0] == 404
    assert (await client.refusal("DELETE", url))[0] == 404
    assert (await client.refusal("PATCH", url, json={}))[0] == 404
    assert (await client.refusal("GET", f"{url}/caCertificates"))[0] == 404
    assert (await client.refusal("PATCH", f"{url}/password", json={}))[0] == 404
    assert (await client.refusal("PATCH", f"{url}/state", json={"command": "restart"}))[0] == 404
    restore = {"name": "copy", "restoreTarget": "latest"}
    assert (await client.refusal("POST", f"{url}/restoredService", json=restore))[0] == 404
    assert (await client.refusal("GET", f"{url}/backups"))[0] == 404
    assert (await client.refusal("GET", f"/v1/howdah/services/{text}"))[0] == 404
    assert (await client.refusal("GET", f"/v1/howdah/services/{text}/connections"))[0] == 404
    assert (await client.refusal("GET", f"/v1/howdah/services/{text}/backups"))[0] == 404
    assert (await client.refusal("POST", f"/v1/howdah/services/{text}/backups"))[0] == 404
    assert (await client.refusal("GET", f"/v1/howdah/services/{text}/operations"))[0] == 404


async def test_the_list_shows_all_oldest_first_without_credentials(client: Client) -> None:
    made = [await client.running(name=f"service {n}") for n in range(3)]
    hidden = {"password", "connectionString", "username", "storageSize", "ipAccessList"}
    expected = [{key: value for key, value in one.items() if key not in hidden} for one in made]
    assert await client.result("GET", client.services) == expected


async def test_the_list_is_filtered_by_state_name_and_tag(client: Client, engine: FakeEngine) -> None:
    tagged = await client.running(name="tagged", tags=[{"key": "team", "value": "db"}, {"key": "bare"}])
    engine.held = True
    await client.create(name="plain")

    async def names(**query: str) -> list[str]:
        return [one["name"] for one in await client.result("GET", client.services, params=query)]

    assert await names(state="running") == ["tagged"]
    assert await names(state="creating") == ["plain"]
    assert await names(name="plain") == ["plain"]
    assert await names(tag="team") == await names(tag="team:db") == await names(tag="bare") == [tagged["name"]]
    assert await names(tag="team:web") == await names(name="tagged", state="creating") == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("stat=running", "query parameter 'stat' is unknown; did you mean state? known: tag, state, name"),
        ("limit=5", "query parameter 'limit' is unknown; known: tag, state, name"),
        ("state=sleeping", "query parameter state 'sleeping' is no state; it must be one of: creating, running,"),
        ("tag=:x", "query parameter tag must be key or key:value, with a key that is not empty"),
        ("tag=a&tag=b", "query parameter tag is given twice; only one is supported"),
    ],
)
async def test_a_filter_that_means_nothing_is_refused(client: Client, query: str, said: str) -> None:
    status, error = await client.refusal("GET", f"{client.services}?{query}")
    assert status == 400
    assert error.startswith(f"BAD_REQUEST: {said}")


async def test_the_ca_certificates_are_a_pem_attachment(client: Client) -> None:
    created = await client.create()
    answer = await client.send("GET", f"{client.services}/{created['id']}/caCertificates")
    assert answer.headers["content-type"] == "application/x-pem-file"
    assert answer.headers["content-disposition"] == 'attachment; filename="postgres-ca-certificate.pem"'
    assert answer.text.count("-----BEGIN CERTIFICATE-----") == 2


async def test_a_given_password_is_taken_and_not_repeated(client: Client) -> None:
    url = f"{client.services}/{(await client.running())['id']}"
    assert await client.result("PATCH", f"{url}/password", json={"password": "Abcdefghij12"}) == {}
    assert (await client.result("GET", url))["password"] == "Abcdefghij12"


async def test_a_password_is_generated_when_none_is_given(client: Client) -> None:
    created = await client.running()
    url = f"{client.services}/{created['id']}"
    answer = await client.result("PATCH", f"{url}/password", json={})
    assert list(answer) == ["password"]
    assert answer["password"] != created["password"]
    assert (await client.result("GET", url))["password"] == answer["password"]


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("Short1", "password has 6 characters; it must have 12 to 1024"),
        ("lowercase1234", "password has no upper-case letter (A-Z); it must have at least one"),
        ("A1" + "a" * 1023, "password has 1025 characters; it must have 12 to 1024"),
        (123456789012, "password must be a string, not a number"),
        (None, "password must be a string, not null"),
    ],
)
async def test_a_password_that_breaks_a_rule_is_refused_without_being_repeated(
    client: Client, password: object, said: str
) -> None:
    url = f"{client.services}/{(await client.running())['id']}/password"
    assert await client.refusal("PATCH", url, json={"password": password}) == (400, f"BAD_REQUEST: {said}")


async def test_a_restart_is_restarting_at_once_and_running_after(client: Client, engine: FakeEngine) -> None:
    running = await client.running()
    url = f"{client.services}/{running['id']}"
    engine.held = True
    assert await client.result("PATCH", f"{url}/state", json={"command": "restart"}) == running | {
        "state": "restarting"
    }
    engine.held = False
    await client.in_state(running["id"], "running")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("promote", "command promote is for read replicas only, and this service is a primary"),
        (
            "switchover",
            "command switchover needs high availability, and the haType of this service is none;"  # noqa: ISC004
            " PATCH it to async or sync first",
        ),
        ("stop", "command 'stop' is unknown; it must be restart, promote or switchover"),
        (1, "command must be a string, not a number"),
    ],
)
async def test_a_command_that_does_not_apply_is_refused(client: Client, command: object, said: str) -> None:
    url = f"{client.services}/{(await client.create())['id']}/state"
    assert await client.refusal("PATCH", url, json={"command": command}) == (400, f"BAD_REQUEST: {said}")


async def test_a_state_call_without_a_command_says_so(client: Client) -> None:
    url = f"{client.services}/{(await client.create())['id']}/state"
    assert await client.refusal("PATCH", url, json={}) == (400, "BAD_REQUEST: command is missing; it is required")
