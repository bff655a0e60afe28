"""Idempotency-Key: sent again, a POST is answered again and not done again."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection

from api.client import SERVICE, Client
from api.document import Document
from api.fake_engine import FakeEngine
from howdah.api.app import create_app
from howdah.api.operations import OPERATIONS
from howdah.control.answers import KEPT
from howdah.control.paths import secrets_key_file, store_file
from howdah.control.plane import ControlPlane
from howdah.control.rotation import rotate
from howdah.domain.organizations import ApiVersion, Role
from howdah.domain.settings import Settings
from howdah.security.sealing import KEY_ID, KeyFile
from howdah.store import answers
from howdah.store.store import Store

HEADERS = {"Idempotency-Key": "7c1f-42"}
KEY_BODY = {"name": "made", "roles": ["developer"]}


SPECIAL = {"howdahFailoverCreate", "howdahDeletedRestore"}
"""For services that are unavailable, or deleted."""


def posts(client: Client, service: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any] | None]]:
    """Path and body of every POST by its operation."""
    own = f"/v1/howdah/services/{service['id']}"
    url = f"{client.services}/{service['id']}"
    return {
        "postgresServiceCreate": (client.services, SERVICE),
        "postgresInstanceRestore": (f"{url}/restoredService", {"name": "copy", "restoreTarget": "latest"}),
        "postgresInstanceCreateReadReplica": (f"{url}/readReplica", {"name": "reader"}),
        "openapiKeyCreate": (f"/v1/organizations/{client.organization}/keys", KEY_BODY),
        "howdahBackupCreate": (f"{own}/backups", None),
        "howdahDrillCreate": (f"{own}/drills", None),
    }


async def post(client: Client, path: str = "", body: Any = SERVICE, **headers: str) -> httpx.Response:
    return await client.send("POST", path or client.services, json=body, headers=HEADERS | headers)


async def activities(client: Client) -> list[dict[str, Any]]:
    return await client.result("GET", f"/v1/organizations/{client.organization}/activities")


async def test_every_post_is_done_once_and_answered_alike(client: Client) -> None:
    running = await client.running()
    built = {one.id for one in OPERATIONS if one.method == "POST" and one.handler is not None}
    calls = posts(client, running)
    assert set(calls) == built - SPECIAL
    for operation, (path, body) in calls.items():
        more = {} if body is None else {"json": body}
        first = await client.send("POST", path, headers=HEADERS, **more)
        assert first.status_code == 200, (operation, first.text)
        before = await activities(client)
        again = await client.send("POST", path, headers=HEADERS, **more)
        assert again.status_code == 200, (operation, again.text)
        assert again.json()["result"] == first.json()["result"], operation
        assert (again.headers["idempotency-replayed"], "idempotency-replayed" in first.headers) == ("true", False)
        assert again.json()["requestId"] != first.json()["requestId"]
        assert await activities(client) == before, operation
        other = await client.send("POST", path, headers={"Idempotency-Key": "other"}, **more)
        assert "idempotency-replayed" not in other.headers


async def test_another_body_is_409_and_the_same_one_may_be_written_otherwise(client: Client) -> None:
    first = (await post(client)).json()["result"]
    status, error = await client.refusal("POST", client.services, json=SERVICE | {"name": "x"}, headers=HEADERS)
    sentence = (
        "header Idempotency-Key is that of an earlier request with another body; send a new request under a new key"
    )
    assert (status, error) == (409, f"CONFLICT: {sentence}")
    turned = json.dumps(dict(reversed(SERVICE.items())), indent=4).encode()
    headers = HEADERS | {"Content-Type": "application/json"}
    assert await client.result("POST", client.services, content=turned, headers=headers) == first
    assert len(await client.result("GET", client.services)) == 1


async def test_keys_of_the_api_calls_and_services_do_not_share_answers(client: Client) -> None:
    first = (await post(client)).json()["result"]
    other = await client.with_key(Role.DEVELOPER)
    second = (await post(other)).json()["result"]
    assert first["id"] != second["id"]
    for service in (first, second):
        path = f"{client.services}/{service['id']}/restoredService"
        assert (
            "idempotency-replayed"
            not in (await post(client, path, {"name": "copy", "restoreTarget": "latest"})).headers
        )
    assert len(await client.result("GET", client.services)) == 4


async def test_a_service_is_the_same_by_either_form_of_its_id(client: Client) -> None:
    made = (await post(client)).json()["result"]
    beta = (await client.send("GET", client.services, headers={"Howdah-Api-Version": "beta"})).json()["result"][0]["id"]
    body = {"name": "copy", "restoreTarget": "latest"}
    first = await post(client, f"{client.services}/{made['id']}/restoredService", body)
    again = await post(client, f"{client.services}/{beta.upper()}/restoredService", body)
    assert again.json()["result"] == first.json()["result"]


async def test_the_version_is_that_of_the_first_answer(client: Client) -> None:
    first = await post(client, **{"Howdah-Api-Version": "beta"})
    again = await post(client)
    assert again.headers["howdah-api-version"] == "beta"
    assert again.json()["result"] == first.json()["result"]
    pinned = await client.with_key(Role.ADMIN, ApiVersion.BETA)
    assert (await post(pinned)).headers["howdah-api-version"] == "beta"


async def test_what_was_refused_is_tried_again(client: Client) -> None:
    assert (await post(client, body=SERVICE | {"size": "huge"})).status_code == 400
    assert (await post(client, body=SERVICE | {"name": 7})).status_code == 400
    assert (await post(client)).status_code == 200


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (b"", "must have 1 to 255 printable ASCII characters, such as a UUID"),
        (b"x" * 256, "must have 1 to 255 printable ASCII characters"),
        (b"\xe4", "must have 1 to 255 printable ASCII characters"),
        (b"a\tb", "must have 1 to 255 printable ASCII characters"),
    ],
)
async def test_a_header_that_is_no_key_is_400(client: Client, value: bytes, sentence: str) -> None:
    refused = await client.refusal("POST", client.services, json=SERVICE, headers={"Idempotency-Key": value})
    assert refused == (400, f"BAD_REQUEST: header Idempotency-Key {sentence}" + refused[1].partition(sentence)[2])
    assert await client.result("GET", client.services) == []


async def test_two_keys_are_400(client: Client) -> None:
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    refused = await client.refusal("POST", client.services, json=SERVICE, headers=twice)
    assert refused == (400, "BAD_REQUEST: header Idempotency-Key is there 2 times; send it once")


async def test_other_methods_take_no_notice_of_it(client: Client) -> None:
    running = await client.running()
    url = f"{client.services}/{running['id']}"
    for name in ("one", "two"):
        answer = await client.send("PATCH", url, json={"name": name}, headers=HEADERS)
        assert answer.json()["result"]["name"] == name


async def test_repetitions_at_the_same_time_wait_for_the_first(client: Client) -> None:
    answers_ = await asyncio.gather(*(post(client) for _ in range(6)))
    assert {answer.status_code for answer in answers_} == {200}
    assert len({json.dumps(answer.json()["result"]) for answer in answers_}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers_) == 5
    assert len(await client.result("GET", client.services)) == 1


async def test_one_that_waits_does_it_when_the_first_could_not(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from howdah.domain.errors import Unavailable

    create, calls = client.plane.services.create, []

    async def once_in_vain(*arguments: Any) -> Any:
        calls.append(arguments)
        await asyncio.sleep(0.01)
        if len(calls) == 1:
            raise Unavailable("the disk is full")
        return await create(*arguments)

    monkeypatch.setattr(client.plane.services, "create", once_in_vain)
    answers_ = await asyncio.gather(*(post(client) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers_) == [200, 200, 503]
    assert len(await client.result("GET", client.services)) == 1


async def test_what_is_done_and_not_yet_answered_is_not_done_twice(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(client.plane.services, "follow", killed)
        assert (await post(client)).status_code == 500
    (there,) = await client.result("GET", client.services)
    again = await post(client)
    assert again.headers["idempotency-replayed"] == "true"
    result = again.json()["result"]
    assert result["id"] == there["id"]
    shown = await client.result("GET", f"{client.services}/{there['id']}")
    assert (result["password"], result["hostname"]) == (shown["password"], shown["hostname"])


async def test_what_cannot_be_kept_is_not_done(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from howdah.domain.errors import Unavailable

    def full(*_: object) -> None:
        raise Unavailable("the disk is full")

    before = await activities(client)
    running = await client.running()
    made = await activities(client)
    with monkeypatch.context() as patched:
        patched.setattr(answers, "put", full)
        for path, body in posts(client, running).values():
            assert (await post(client, path, body)).status_code == 503, path
    assert len(made) == len(before) + 1
    assert await activities(client) == made
    assert [service["id"] for service in await client.result("GET", client.services)] == [running["id"]]


async def test_an_answer_in_the_store_undoes_what_would_be_done_twice(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if another server had done it meanwhile."""
    await post(client)
    monkeypatch.setattr(client.plane.answers, "find", lambda _: None)
    assert (await post(client)).status_code == 409
    assert len(await client.result("GET", client.services)) == 1


@asynccontextmanager
async def restarted(client: Client, settings: Settings) -> AsyncIterator[Client]:
    async with ControlPlane(settings, lambda *_: FakeEngine(), with_router=False) as plane:
        transport = httpx.ASGITransport(create_app(plane), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://howdah.test") as http:
            document = Document((await http.get("/openapi.json")).json())
            yield replace(client, http=http, document=document, plane=plane)


async def test_it_holds_over_a_restart_and_a_rotation_of_the_key(settings: Settings) -> None:
    state = settings.state
    async with ControlPlane(settings, lambda *_: FakeEngine(), with_router=False) as plane:
        organization = plane.access.organizations()[0].id
        key, secret = await plane.access.create_key(organization, name="k", role=Role.ADMIN, api_version=None)
        none = Client(httpx.AsyncClient(), Document({"paths": {}}), plane, organization, (key.key_id, secret))
    keys = f"/v1/organizations/{organization}/keys"
    async with restarted(none, settings) as client:
        service, made = await post(client), await post(client, keys, KEY_BODY)
    with Store(store_file(state)) as store:
        done = await rotate(store, KeyFile(secrets_key_file(state)))
        assert answers.key_ids(store, KEY_ID) == {bytes.fromhex(done.key_id)}
    content = store_file(state).read_bytes()
    for secret_text in (made.json()["result"]["keySecret"], service.json()["result"]["password"]):
        assert secret_text.encode() not in content
    async with restarted(none, settings) as client:
        assert (await post(client)).json()["result"] == service.json()["result"]
        assert (await post(client, keys, KEY_BODY)).json()["result"] == made.json()["result"]
        assert len(await client.result("GET", client.services)) == 1


async def test_after_a_day_it_is_a_new_request(client: Client) -> None:
    kept, clock = client.plane.answers, client.plane.answers._clock
    first = (await post(client)).json()["result"]
    kept._clock = lambda: clock() + KEPT - timedelta(minutes=1)
    await kept.forget_old()
    assert (await post(client)).json()["result"] == first
    kept._clock = lambda: clock() + KEPT + timedelta(minutes=1)
    second = (await post(client)).json()["result"]
    assert second["id"] != first["id"]
    kept._clock = lambda: clock() + 3 * KEPT
    await kept.forget_old()
    assert answers.key_ids(client.plane.store, KEY_ID) == set()


async def test_a_key_that_may_not_ask_gets_no_kept_answer(client: Client) -> None:
    other = await client.with_key(Role.DEVELOPER)
    assert other.auth is not None
    assert (await post(other)).status_code == 200
    (found,) = [key for key in client.plane.access.keys(client.organization) if key.key_id == other.auth[0]]
    path = f"/v1/organizations/{client.organization}/keys/{found.id}"
    await client.result("PATCH", path, json={"roles": ["query_endpoints"]})
    assert (await post(other)).status_code == 403
    await client.result("PATCH", path, json={"state": "disabled"})
    assert (await post(other)).status_code == 401


async def test_a_client_that_gives_up_while_it_is_done_finds_it_done(client: Client) -> None:
    started, go_on = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        started.set()
        assert go_on.wait(10)

    holding = asyncio.create_task(client.plane.store.write(hold))
    await asyncio.to_thread(started.wait, 10)
    first = asyncio.create_task(post(client))
    while client.plane.store._writer._work_queue.empty():
        await asyncio.sleep(0.005)
    first.cancel()
    again = asyncio.create_task(post(client))
    await asyncio.sleep(0.02)
    go_on.set()
    await holding
    answer = await again
    assert answer.status_code in (200, 409)
    assert (await post(client)).headers["idempotency-replayed"] == "true"
    assert len(await client.result("GET", client.services)) == 1
