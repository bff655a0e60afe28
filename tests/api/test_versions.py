"""The two API versions: how one is chosen, and what differs."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from api.client import Client
from howdah.domain.ids import ServiceId
from howdah.domain.organizations import ApiVersion, Role
from howdah.domain.settings import ApiSettings, Settings

BETA = {"Howdah-Api-Version": "beta"}
CREDENTIALS = {"password", "connectionString"}


def _without_credentials(service: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in service.items() if key not in CREDENTIALS}


async def _version(client: Client, **headers: str) -> str:
    answer = await client.send("GET", client.services, headers=headers)
    assert answer.status_code == 200
    return answer.headers["howdah-api-version"]


async def test_the_default_is_the_seeds_version(client: Client) -> None:
    assert await _version(client) == "preview"


@pytest.mark.parametrize(
    "agent", ["clickhousectl/0.5.0", "x clickhousectl/1", "Terraform/1.9 terraform-provider-clickhouse/3.2"]
)
async def test_clients_that_need_beta_get_it(client: Client, agent: str) -> None:
    assert await _version(client, **{"User-Agent": agent}) == "beta"


async def test_the_header_wins_over_the_key_and_the_key_over_the_client(client: Client) -> None:
    pinned = await client.with_key(Role.ADMIN, ApiVersion.PREVIEW)
    assert await _version(pinned, **{"User-Agent": "clickhousectl/0.5.0"}) == "preview"
    assert await _version(pinned, **BETA) == "beta"
    beta = await client.with_key(Role.ADMIN, ApiVersion.BETA)
    assert await _version(beta) == "beta"
    assert await _version(beta, **{"Howdah-Api-Version": "preview"}) == "preview"


@pytest.mark.parametrize("value", ["gamma", "", "Beta", "preview, beta"])
async def test_an_unknown_version_is_refused(client: Client, value: str) -> None:
    status, error = await client.refusal("GET", client.services, headers={"Howdah-Api-Version": value})
    assert status == 400
    assert error == f"BAD_REQUEST: header Howdah-Api-Version {value!r} is no version; it must be preview or beta"


async def test_a_refusal_carries_the_version_too(client: Client) -> None:
    assert (await client.send("GET", f"{client.services}/x", headers=BETA)).headers["howdah-api-version"] == "beta"


async def test_the_two_ids_are_the_same_128_bits(client: Client) -> None:
    preview = await client.create()
    beta = await client.result("GET", f"{client.services}/{preview['id']}", headers=BETA)
    assert ServiceId(uuid.UUID(beta["id"])).ubid == preview["id"]


async def test_beta_shows_credentials_in_the_create_answer_only(client: Client) -> None:
    beta = await client.with_key(Role.ADMIN, ApiVersion.BETA)
    created = await beta.create()
    assert created.keys() >= CREDENTIALS
    running = await beta.in_state(created["id"], "running")
    assert running == _without_credentials(created) | {"state": "running"}
    url = f"{beta.services}/{created['id']}"
    assert await beta.result("PATCH", url, json={}) == running
    (listed,) = await beta.result("GET", beta.services)
    hidden = ("storageSize", "username", "hostname", "ipAccessList")
    assert listed == {key: value for key, value in running.items() if key not in hidden}
    assert CREDENTIALS.isdisjoint(await beta.result("PATCH", f"{url}/state", json={"command": "restart"}))
    assert await beta.result("PATCH", f"{url}/password", json={"password": "Abcdefghij12"}) == {}
    assert list(await beta.result("PATCH", f"{url}/password", json={})) == ["password"]


async def test_preview_shows_credentials_whenever_it_shows_the_service(client: Client) -> None:
    running = await client.running()
    url = f"{client.services}/{running['id']}"
    assert running.keys() >= CREDENTIALS
    assert (await client.result("PATCH", url, json={})) == running
    assert (await client.result("PATCH", f"{url}/state", json={"command": "restart"})).keys() >= CREDENTIALS


async def test_the_version_call_names_the_version_in_force(client: Client) -> None:
    shown = await client.result("GET", "/v1/howdah/version", headers=BETA)
    assert (shown["apiVersion"], shown["apiVersions"]) == ("beta", ["preview", "beta"])


class TestWithAnotherDefault:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings(state=tmp_path / "state", api=ApiSettings(default_version=ApiVersion.BETA))

    async def test_the_servers_default_is_the_last_to_be_asked(self, client: Client) -> None:
        assert await _version(client) == "beta"
        assert await _version(await client.with_key(Role.ADMIN, ApiVersion.PREVIEW)) == "preview"
