"""An older store was put back: until what runs has been compared with it clients wait, and somebody may say what is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from control.fake_engine import World
from control.planes import NEW, Running, running_plane, until

from howdah.control.copies import put_back, read_parts
from howdah.control.paths import secrets_key_file, store_file
from howdah.domain.activities import ActivityType, ActorType
from howdah.domain.errors import BadRequest
from howdah.domain.ids import ServiceId
from howdah.domain.routes import RouteState
from howdah.store import services
from howdah.store.store import Store

UNCLEAR = "two servers take writes"


async def created(running: Running, *, of: ServiceId | None = None) -> ServiceId:
    plane = running.plane
    if of is None:
        made = await plane.services.create(running.organization, NEW)
    else:
        made = await plane.members.add_replica(running.organization, of, name="reader")
    await until("running", lambda: running.state_of(made.id) == "running")
    return made.id


def older_store(state: Path) -> None:
    """With all that it has now."""
    key = secrets_key_file(state)
    put_back(state, key, read_parts(state, key))


async def test_clients_wait_until_what_runs_was_compared(tmp_path: Path) -> None:
    world = World()
    async with running_plane(tmp_path, world) as running:
        service = await created(running)
        with pytest.raises(BadRequest):
            await running.plane.members.accept_loss(running.organization, service)
    older_store(tmp_path)
    world.unclear[service] = UNCLEAR
    async with running_plane(tmp_path, world) as running:
        await until("unavailable", lambda: running.state_of(service) == "unavailable")
        assert running.plane.services.get(running.organization, service).state_reason == UNCLEAR
        route = running.route(service)
        assert route is not None
        assert (route.state, route.servers) == (RouteState.HELD, (("127.0.0.1", world.servers[service].port),))
        await running.plane.members.accept_loss(running.organization, service)
        await until("running", lambda: running.state_of(service) == "running")
        await until("confirmed", lambda: not running.engine.specs[service].unconfirmed)
        await until("open", lambda: (route := running.route(service)) is not None and route.state is RouteState.OPEN)
    world.unclear[service] = UNCLEAR
    async with running_plane(tmp_path, world) as running:
        await until("looked at", lambda: service in running.engine.specs)
        assert not running.engine.specs[service].unconfirmed, "it is compared once, not at each start"


async def test_a_copy_that_an_earlier_version_made_is_an_older_store_too(tmp_path: Path) -> None:
    async with running_plane(tmp_path) as running:
        service = await created(running)
    parts = read_parts(tmp_path, secrets_key_file(tmp_path))
    (earlier := tmp_path / "earlier.db").write_bytes(parts["howdah.db"])
    with closing(sqlite3.connect(earlier)) as store:
        store.execute("ALTER TABLE services DROP COLUMN unconfirmed")
        store.execute("UPDATE alembic_version SET version_num = '0013'")
        store.commit()
    put_back(tmp_path, secrets_key_file(tmp_path), parts | {"howdah.db": earlier.read_bytes()})
    with Store(store_file(tmp_path)) as restored:
        found = services.find(restored, service)
        assert found is not None
        assert found.unconfirmed


async def test_a_replica_is_confirmed_after_the_service_that_it_follows(tmp_path: Path) -> None:
    world = World()
    async with running_plane(tmp_path, world) as running:
        service = await created(running)
        replica = await created(running, of=service)
    older_store(tmp_path)
    world.unclear[service] = UNCLEAR
    async with running_plane(tmp_path, world) as running:
        await until("unavailable", lambda: running.state_of(replica) == "unavailable")
        reason = running.plane.services.get(running.organization, replica).state_reason
        assert reason == f"an older store was put back, and it waits for its primary, {service}"
        world.unclear.clear()
        await until("running", lambda: running.state_of(replica) == "running")
        assert not running.engine.specs[service].unconfirmed
        assert running.engine.specs[replica].follows == service


async def test_a_replica_that_was_promoted_since_is_a_service_like_any_other(tmp_path: Path) -> None:
    world = World()
    async with running_plane(tmp_path, world) as running:
        service = await created(running)
        replica = await created(running, of=service)
    older_store(tmp_path)
    world.unclear[service] = UNCLEAR
    world.promoted.add(replica)
    async with running_plane(tmp_path, world) as running:
        await until("independent", lambda: running.plane.services.get(running.organization, replica).is_primary)
        await until("confirmed", lambda: not running.engine.specs[replica].unconfirmed)
        assert running.engine.specs[replica].follows is None
        assert running.state_of(replica) == "running"
        told = running.plane.activities.page(running.organization, since=None, until=None, after=None, limit=10)
        (promoted,) = [one for one in told if one.deed.type is ActivityType.SERVICE_PROMOTE]
        assert promoted.actor.type is ActorType.SYSTEM
