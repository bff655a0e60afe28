"""The life of a service, as the calls tell it."""

from __future__ import annotations

import re

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
    assert list(created) == [*SEED_ORDER, "createdAt"]
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


async def test_a_service_is_reached_by_ubid_and_by_uuid_in_either_case_and_by_misread_letters(client: Client) -> None:
    created = await client.create()
    shown = await client.result("GET", f"{client.services}/{created['id']}", headers={"Howdah-Api-Version": "beta"})
    misread = created["id"].replace("0", "O").replace("1", "l")
    for spelling in (created["id"], created["id"].upper(), shown["id"], shown["id"].upper(), misread):
        assert (await client.result("GET", f"{client.services}/{spelling}"))["id"] == created["id"]
