"""What an organization may have, and that nobody passes it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from api.client import SERVICE, Client
from api.fake_engine import FakeEngine
from howdah.control.acts import BY_SYSTEM
from howdah.domain.organizations import Role
from howdah.domain.quotas import Quota
from howdah.domain.settings import ApiSettings, QuotaSettings, Settings

GIB = 118


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path / "state", api=ApiSettings(rate_limit=0), quota=QuotaSettings(services=2))


async def allow(client: Client, services: int | None = None, storage_gib: int | None = None) -> None:
    await client.plane.access.set_quota(client.organization, Quota(services, storage_gib), BY_SYSTEM)


async def test_one_service_too_many_is_409_and_says_what_to_do(client: Client) -> None:
    for _ in range(2):
        await client.create()
    sentence = (
        "CONFLICT: the organization's quota is 2 services: it has 2 and this needs 1 more; delete a service, or have"
        f" the operator raise the quota: howdah organizations quota {client.organization} --services 3"
    )
    assert await client.refusal("POST", client.services, json=SERVICE) == (409, sentence)
    assert len(await client.result("GET", client.services)) == 2


async def test_storage_is_summed_up(client: Client) -> None:
    await allow(client, services=0, storage_gib=3 * GIB - 1)
    for _ in range(2):
        await client.create()
    status, error = await client.refusal("POST", client.services, json=SERVICE)
    assert status == 409
    assert f"quota is {3 * GIB - 1} GiB of storage: it has {2 * GIB} and this needs {GIB} more" in error
    assert f"--storage-gib {3 * GIB}" in error
    await allow(client, services=0, storage_gib=3 * GIB)
    await client.create()


async def test_a_restore_needs_room_too(client: Client) -> None:
    running = await client.running()
    await allow(client, services=1)
    body = {"name": "copy", "restoreTarget": "latest"}
    path = f"{client.services}/{running['id']}/restoredService"
    status, error = await client.refusal("POST", path, json=body)
    assert (status, "quota is 1 services" in error) == (409, True)
    await allow(client)
    await client.result("POST", path, json=body)


async def test_creates_at_the_same_time_cannot_pass_it_together(client: Client) -> None:
    answers = await asyncio.gather(*(client.send("POST", client.services, json=SERVICE) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [409] * 6
    assert len(await client.result("GET", client.services)) == 2


async def test_a_service_counts_until_it_is_gone(client: Client, engine: FakeEngine) -> None:
    await client.create()
    doomed = (await client.running())["id"]
    engine.keeps = True
    await client.result("DELETE", f"{client.services}/{doomed}")
    status, error = await client.refusal("POST", client.services, json=SERVICE)
    assert (status, "it has 2 (1 of its services still being deleted)" in error) == (409, True)
    engine.keeps = False
    client.plane.reconciler.wake_all()
    while (await client.send("GET", f"{client.services}/{doomed}")).status_code != 404:
        await asyncio.sleep(0.005)
    await client.create()


async def test_a_lower_quota_leaves_what_is_there(client: Client) -> None:
    running = await client.running()
    await allow(client, services=1, storage_gib=1)
    url = f"{client.services}/{running['id']}"
    assert (await client.result("PATCH", url, json={"name": "other"}))["name"] == "other"
    await client.result("PATCH", f"{url}/password", json={})


async def test_each_organization_has_its_own(client: Client) -> None:
    other = await client.plane.access.create_organization("Other")
    key, secret = await client.plane.access.create_key(other.id, name="k", role=Role.ADMIN, api_version=None)
    stranger = replace(client, organization=other.id, auth=(key.key_id, secret))
    await allow(stranger, services=1)
    await stranger.create()
    assert (await stranger.refusal("POST", stranger.services, json=SERVICE))[0] == 409
    for _ in range(2):
        await client.create()
    await allow(client, services=0)
    await client.create()


async def test_a_change_of_name_or_quota_is_told(client: Client) -> None:
    access, organization = client.plane.access, client.organization
    await access.set_quota(organization, Quota(0, 500), BY_SYSTEM)
    await access.set_quota(organization, Quota(0, 500), BY_SYSTEM)
    await access.rename_organization(organization, " New ", BY_SYSTEM)
    (shown,) = await client.result("GET", "/v1/organizations")
    assert shown["name"] == "New"
    renamed, changed, *_ = await client.result("GET", f"/v1/organizations/{organization}/activities")
    assert (renamed["type"], renamed["changes"]) == ("organization_update_name", "name: 'Default' → 'New'")
    assert (changed["type"], changed["changes"]) == (
        "organization_update_quota",
        "services: default → no limit, storage GiB: default → 500",
    )
