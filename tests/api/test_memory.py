"""Where servers have their memory for themselves, no more is promised than there is."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from api.client import SERVICE, Client
from api.fake_engine import FakeEngine
from howdah.cli.checks.contents import check_contents
from howdah.cli.checks.finding import Level
from howdah.domain.memory import Profile
from howdah.domain.settings import PostgresSettings, Settings

TOTAL = 40
LARGE, XLARGE = "r8gd.large", "r8gd.xlarge"
"""16 and 32 GiB."""

RESTORE = {"name": "copy", "restoreTarget": "latest"}


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    engine.memory = TOTAL
    return engine


async def free(client: Client) -> int:
    return (await client.result("GET", "/v1/howdah/catalog"))["memory"]["freeGiB"]


async def test_a_size_that_does_not_fit_is_409_with_what_is_free(client: Client) -> None:
    await client.create(size=LARGE)
    sentence = (
        f"CONFLICT: size {XLARGE} takes 32 GiB of memory: of the 40 GiB that servers may have on this machine 24 are"
        " free; ask for a smaller size or fewer standbys, or delete a service"
    )
    assert await client.refusal("POST", client.services, json=SERVICE | {"size": XLARGE}) == (409, sentence)
    assert len(await client.result("GET", client.services)) == 1


async def test_the_catalog_says_what_is_free(client: Client, engine: FakeEngine) -> None:
    assert (await client.result("GET", "/v1/howdah/catalog"))["memory"] == {"totalGiB": TOTAL, "freeGiB": TOTAL}
    await client.create(size=LARGE, haType="async")
    assert await free(client) == TOTAL - 32
    engine.memory = 8
    assert (await client.result("GET", "/v1/howdah/catalog"))["memory"] == {"totalGiB": 8, "freeGiB": 0}
    engine.memory = None
    assert (await client.result("GET", "/v1/howdah/catalog"))["memory"] is None


async def test_every_standby_and_read_replica_counts(client: Client) -> None:
    status, error = await client.refusal("POST", client.services, json=SERVICE | {"size": LARGE, "haType": "sync"})
    assert (status, "takes 48 GiB of memory, 16 for each of 3 servers" in error) == (409, True)
    primary = await client.running(size=LARGE)
    url = f"{client.services}/{primary['id']}"
    await client.result("POST", f"{url}/readReplica", json={"name": "reader"})
    assert await free(client) == TOTAL - 32
    for path, body in ((f"{url}/readReplica", {"name": "second"}), (f"{url}/restoredService", RESTORE)):
        status, error = await client.refusal("POST", path, json=body)
        assert (status, "takes 16 GiB of memory: of the 40" in error) == (409, True)
    status, error = await client.refusal("PATCH", url, json={"haType": "async"})
    assert (status, "takes 48 GiB of memory, 16 for each of 3 servers: " in error) == (409, True)


async def test_a_change_needs_room_for_what_comes_out_of_it(client: Client, engine: FakeEngine) -> None:
    url = f"{client.services}/{(await client.running(size=LARGE, haType='async'))['id']}"
    status, error = await client.refusal("PATCH", url, json={"size": XLARGE})
    assert (status, "takes 64 GiB of memory, 32 for each of 2 servers: of the 40 GiB" in error) == (409, True)
    assert (await client.result("GET", url))["size"] == LARGE
    changed = await client.result("PATCH", url, json={"size": XLARGE, "haType": "none"})
    assert (changed["size"], changed["haType"]) == (XLARGE, "none")
    engine.memory = 1
    assert (await client.result("PATCH", url, json={"size": LARGE}))["size"] == LARGE
    assert (await client.result("PATCH", url, json={"haType": "none", "name": "another"}))["name"] == "another"


async def test_creates_at_the_same_time_cannot_pass_it_together(client: Client) -> None:
    body = SERVICE | {"size": LARGE}
    answers = await asyncio.gather(*(client.send("POST", client.services, json=body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [409] * 3


async def test_what_is_being_deleted_has_its_memory_until_it_is_gone(client: Client, engine: FakeEngine) -> None:
    doomed = (await client.running(size=XLARGE))["id"]
    engine.keeps = True
    await client.result("DELETE", f"{client.services}/{doomed}")
    status, error = await client.refusal("POST", client.services, json=SERVICE | {"size": LARGE})
    assert (status, "8 are free (32 more when the services that are being deleted are gone)" in error) == (409, True)
    engine.keeps = False
    client.plane.reconciler.wake_all()
    while (await client.send("GET", f"{client.services}/{doomed}")).status_code != 404:
        await asyncio.sleep(0.005)
    assert await free(client) == TOTAL


@pytest.mark.parametrize(("total", "level"), [(16, Level.OK), (15, Level.FAIL)])
async def test_doctor_says_when_servers_have_more_than_they_may(
    client: Client, settings: Settings, total: int, level: Level
) -> None:
    await client.create(size=LARGE)
    dedicated = PostgresSettings(profile=Profile.DEDICATED, memory_gib=total)
    found = {one.check: one for one in check_contents(replace(settings, postgres=dedicated))}
    said = f"servers have 16 of the {total} GiB that they may have"
    assert (found["memory"].level, found["memory"].said) == (level, said)
    assert "memory" not in {one.check for one in check_contents(settings)}
