from __future__ import annotations

import asyncio
import dataclasses
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from control.fake_engine import World
from control.planes import NEW, running_plane, until

from howdah.control import applying
from howdah.control import services as commands
from howdah.control.clock import utc_now
from howdah.domain.errors import BadRequest, Conflict, NotFound, Unavailable
from howdah.domain.ids import ServiceId
from howdah.domain.organizations import Role
from howdah.domain.routes import RouteState, decode_routes
from howdah.domain.services import Service, ServiceChange
from howdah.domain.settings import Settings
from howdah.domain.states import HaType, PostgresVersion
from howdah.domain.tags import Tag
from howdah.security import scram
from howdah.store import activities


def is_password(password: str, verifier: str) -> bool:
    from base64 import b64decode

    salt = b64decode(verifier.split("$")[1].split(":")[1])
    return scram.verifier(password, salt=salt) == verifier


async def test_a_service_is_held_at_the_router_when_create_answers_and_open_when_it_runs(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        service = await running.plane.services.create(running.organization, NEW)
        held = running.route(service.id)
        assert held is not None
        assert (held.state, held.names) == (RouteState.HELD, (service.hostname,))
        assert (service.state, len(service.password)) == ("creating", 20)
        await until("running", lambda: running.state_of(service.id) == "running")
        opened = running.route(service.id)
        assert opened is not None
        port = running.engine.world.servers[service.id].port
        assert (opened.state, opened.servers) == (RouteState.OPEN, (("127.0.0.1", port),))
        assert running.plane.services.get(running.organization, service.id) == dataclasses.replace(
            service, state="running"
        )
        assert is_password(service.password, running.engine.world.servers[service.id].verifier)
        assert stat.S_IMODE((tmp_path / "s" / "routes.json").stat().st_mode) == 0o600


async def test_a_rename_gives_a_new_hostname_and_keeps_the_old_one_for_its_time(tmp_path: Path) -> None:
    now = [utc_now()]
    async with running_plane(tmp_path / "s", clock=lambda: now[0]) as running:
        services, organization = running.plane.services, running.organization
        old = await services.create(organization, NEW)
        await until("running", lambda: running.state_of(old.id) == "running")
        renamed = await services.change(organization, old.id, ServiceChange(name=" Orders "))
        assert renamed.name == "Orders"
        assert renamed.hostname.startswith("orders-")
        assert running.engine.world.servers[old.id].names == (renamed.hostname, old.hostname)
        route = running.route(old.id)
        assert route is not None
        assert route.names == (renamed.hostname, old.hostname)
        assert (renamed.state, route.state) == ("running", "open")
        now[0] += timedelta(hours=25)
        running.plane.schedule.look_again()
        await until(
            "the old name is gone",
            lambda: (
                running.engine.world.servers[old.id].names == (renamed.hostname,)
                and getattr(running.route(old.id), "names", None) == (renamed.hostname,)
            ),
        )


async def test_a_change_to_the_same_values_changes_nothing(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, dataclasses.replace(NEW, tags=(Tag("a", "b"),)))
        await until("running", lambda: running.state_of(service.id) == "running")
        before = services.get(organization, service.id)
        same = ServiceChange(
            name=f" {NEW.name} ",
            size=NEW.size,
            ha_type=HaType.NONE,
            provider="aws",
            region="us-west-2",
            storage_gib=service.storage_gib,
            postgres_version=PostgresVersion.V17,
        )
        assert await services.change(organization, service.id, same) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (ServiceChange(size="huge"), "size 'huge' is not offered"),
        (ServiceChange(region="us-east-1"), "region cannot change (it is 'us-west-2')"),
        (ServiceChange(provider="gcp"), "provider cannot change"),
        (ServiceChange(storage_gib=1), "storageSize cannot change"),
        (ServiceChange(postgres_version=PostgresVersion.V18), "postgresVersion cannot change"),
        (ServiceChange(name="ä"), "name has the character"),
        (ServiceChange(tags=(Tag("chc_x"),)), "reserved"),
    ],
)
async def test_what_cannot_change_is_refused_and_nothing_else_of_the_request_happens(
    tmp_path: Path, change: ServiceChange, said: str
) -> None:
    async with running_plane(tmp_path / "s") as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, NEW)
        with pytest.raises(BadRequest, match=said.replace("(", r"\(").replace(")", r"\)")):
            await services.change(
                organization, service.id, dataclasses.replace(change, tags=change.tags or (Tag("new"),))
            )
        assert services.get(organization, service.id).tags == ()


async def test_tags_are_replaced(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, dataclasses.replace(NEW, tags=(Tag("a"), Tag("b", "1"))))
        changed = await services.change(organization, service.id, ServiceChange(tags=(Tag("c", ""),)))
        assert changed.tags == (Tag("c", ""),)
        assert (await services.change(organization, service.id, ServiceChange(tags=()))).tags == ()


async def test_a_password_is_in_effect_when_the_call_returns(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
        generated = await services.set_password(organization, service.id, None)
        assert generated is not None
        assert is_password(generated, running.engine.world.servers[service.id].verifier)
        assert await services.set_password(organization, service.id, "Given-Password-1") is None
        assert is_password("Given-Password-1", running.engine.world.servers[service.id].verifier)
        assert services.get(organization, service.id).password == "Given-Password-1"


async def test_many_passwords_at_once_end_with_the_one_that_is_stored(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, NEW)
        await asyncio.gather(*(services.set_password(organization, service.id, None) for _ in range(20)))
        shown = services.get(organization, service.id).password
        assert is_password(shown, running.engine.world.servers[service.id].verifier)


async def test_a_password_that_cannot_be_applied_in_time_is_stored_and_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "PASSWORD_SECONDS", 0.2)
    async with running_plane(tmp_path / "s") as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
        running.engine.world.broken[service.id] = "it does not start"
        running.engine.crash(service.id)
        await until("unavailable", lambda: running.state_of(service.id) == "unavailable")
        with pytest.raises(Unavailable, match="stored and still being applied: the service is unavailable"):
            await services.set_password(organization, service.id, "Given-Password-1")
        del running.engine.world.broken[service.id]
        await until("running", lambda: running.state_of(service.id) == "running")
        assert is_password("Given-Password-1", running.engine.world.servers[service.id].verifier)


async def test_a_restart_is_held_before_it_begins_and_several_are_one_more_at_most(tmp_path: Path) -> None:
    gate = asyncio.Event()
    gate.set()
    seen: list[str] = []

    async def before(_call: str, service: ServiceId) -> None:
        route = running.route(service)
        seen.append(route.state if route else "absent")
        await gate.wait()

    async with running_plane(tmp_path / "s", before=before) as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
        gate.clear()
        assert (await services.restart(organization, service.id)).state == "restarting"
        seen.clear()
        for _ in range(5):
            await services.restart(organization, service.id)
        gate.set()
        await until("running again", lambda: running.state_of(service.id) == "running")
        assert set(seen) == {"held"}
        assert running.engine.world.servers[service.id].starts in (2, 3)


async def test_a_crash_is_unavailable_with_its_reason_until_it_runs_again(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
        running.engine.world.broken[service.id] = "its data directory is gone"
        running.engine.crash(service.id)
        await until("unavailable", lambda: running.state_of(service.id) == "unavailable")
        found = services.get(organization, service.id)
        assert found.state_reason == "its data directory is gone"
        await until("held", lambda: getattr(running.route(service.id), "state", None) == "held")
        del running.engine.world.broken[service.id]
        await until("running", lambda: running.state_of(service.id) == "running")
        assert services.get(organization, service.id).state_reason is None


async def test_deleting_leaves_nothing_and_may_be_asked_again(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def before(call: str, _service: ServiceId) -> None:
        if call == "remove":
            await gate.wait()

    async with running_plane(tmp_path / "s", before=before) as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
        await services.delete(organization, service.id)
        assert running.route(service.id) is None
        assert running.state_of(service.id) == "deleting"
        await services.delete(organization, service.id)
        for command in (
            services.restart(organization, service.id),
            services.set_password(organization, service.id, None),
            services.change(organization, service.id, ServiceChange(name="x")),
        ):
            with pytest.raises(NotFound):
                await command
        gate.set()
        await until("gone", lambda: services.list(organization) == [])
        with pytest.raises(NotFound):
            services.get(organization, service.id)
        with pytest.raises(NotFound):
            await services.delete(organization, service.id)
        assert running.engine.world.servers == {}
        await until("all tasks ended", lambda: not running.plane.reconciler._woken)
        store, state = running.plane.store, running.state
        # only what was done with it is known, until that is forgotten
        await store.write(lambda connection: activities.forget(connection, datetime.max.replace(tzinfo=UTC), 100))
        await store.forget()
        for file in state.iterdir():
            if file.is_file() and file.name not in ("lock", "bootstrap.env", "secrets.key"):
                content = file.read_bytes()
                assert service.hostname.encode() not in content, file
                assert str(service.id.uuid).encode() not in content, file


async def test_a_service_that_is_being_created_can_be_deleted(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, NEW)
        await services.delete(organization, service.id)
        await until("gone", lambda: services.list(organization) == [])
        assert running.engine.world.servers == {}


async def test_a_password_whose_service_is_deleted_meanwhile_is_not_found(tmp_path: Path) -> None:
    async def before(call: str, _service: ServiceId) -> None:
        if call == "reconcile":
            await asyncio.Event().wait()

    async with running_plane(tmp_path / "s", before=before) as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, NEW)
        waiting = asyncio.create_task(services.set_password(organization, service.id, None))
        await until("it waits", lambda: bool(running.plane.reconciler.effects._waiting))
        await services.delete(organization, service.id)
        with pytest.raises(NotFound):
            await asyncio.wait_for(waiting, 5)


async def test_names_of_one_service_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "MAX_NAMES", 3)
    async with running_plane(tmp_path / "s") as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, NEW)
        for name in ("b", "c"):
            await services.change(organization, service.id, ServiceChange(name=name))
        with pytest.raises(Conflict, match="name cannot change"):
            await services.change(organization, service.id, ServiceChange(name="d"))
        assert services.get(organization, service.id).name == "c"


async def test_the_old_name_ends_at_once_when_there_is_no_grace(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "s", rename_grace_hours=0)
    async with running_plane(tmp_path / "s", settings=settings) as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, NEW)
        renamed = await services.change(organization, service.id, ServiceChange(name="other"))
        route = running.route(service.id)
        assert route is not None
        assert route.names == (renamed.hostname,)


async def test_a_certificate_that_is_due_is_renewed(tmp_path: Path) -> None:
    now = [utc_now()]
    async with running_plane(tmp_path / "s", clock=lambda: now[0]) as running:
        service = await running.plane.services.create(running.organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
        first = running.engine.world.servers[service.id].certificate
        ca = running.plane.services.ca_certificates(running.organization, service.id)
        now[0] += timedelta(days=61)
        running.plane.schedule.look_again()
        await until("renewed", lambda: running.engine.world.servers[service.id].certificate != first)
        assert running.plane.services.ca_certificates(running.organization, service.id) == ca
        await until("running", lambda: running.state_of(service.id) == "running")


async def test_a_new_control_plane_takes_over_what_runs(tmp_path: Path) -> None:
    world = World()
    async with running_plane(tmp_path / "s", world) as running:
        service = await running.plane.services.create(running.organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
    async with running_plane(tmp_path / "s", world) as running:
        assert running.state_of(service.id) == "running"
        assert running.plane.services.get(running.organization, service.id).password == service.password
        await until("looked at", lambda: running.engine.passes.get(service.id, 0) > 0)
        assert world.servers[service.id].starts == 1


async def test_a_certificate_that_cannot_be_renewed_stops_neither_the_others_nor_the_schedule(tmp_path: Path) -> None:
    from howdah.store import secrets

    now = [utc_now()]
    async with running_plane(tmp_path / "s", clock=lambda: now[0]) as running:
        services, organization = running.plane.services, running.organization
        broken, good = await services.create(organization, NEW), await services.create(organization, NEW)
        await until("run", lambda: all(s.state == "running" for s in services.list(organization)))
        await running.plane.store.write(
            lambda connection: secrets.put(connection, broken.id, {"first_root_key": b"not what was sealed"})
        )
        first = running.engine.world.servers[good.id].certificate
        now[0] += timedelta(days=61)
        assert await running.plane.schedule.catch_up() is False
        await until("renewed", lambda: running.engine.world.servers[good.id].certificate != first)
        assert running.state_of(broken.id) == "running"
        assert running.plane.readiness() == {}


async def test_the_route_is_held_before_a_crashed_server_is_started_again(tmp_path: Path) -> None:
    seen: list[str] = []

    async def before(_call: str, service: ServiceId) -> None:
        route = running.route(service)
        seen.append(route.state if route else "absent")

    async with running_plane(tmp_path / "s", before=before) as running:
        service = await running.plane.services.create(running.organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
        await until("settled", lambda: not running.plane.reconciler._woken)
        seen.clear()
        running.engine.crash(service.id)
        await until("open again", lambda: running.engine.world.servers[service.id].starts == 2)
        await until("open again", lambda: getattr(running.route(service.id), "state", None) == "open")
        assert set(seen) == {"held"}
        seen.clear()
        running.engine.events.put_nowait(service.id)
        await until("a false alarm ends", lambda: len(seen) == 1 and not running.plane.reconciler._woken)
        route = running.route(service.id)
        assert route is not None
        assert (seen, route.state) == (["held"], "open")


async def test_a_server_that_died_while_no_control_plane_ran_is_held_before_it_is_started(tmp_path: Path) -> None:
    world, seen = World(), list[str]()

    async def before(_call: str, service: ServiceId) -> None:
        content = decode_routes((tmp_path / "s" / "routes.json").read_bytes())
        seen.extend(route.state for route in content if route.service == service.ubid)

    async with running_plane(tmp_path / "s", world) as running:
        service = await running.plane.services.create(running.organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
    world.servers[service.id].up = False
    async with running_plane(tmp_path / "s", world, before=before) as running:
        await until("started", lambda: world.servers[service.id].starts == 2)
        await until("open again", lambda: getattr(running.route(service.id), "state", None) == "open")
    assert set(seen) == {"held"}


async def test_a_command_that_is_stored_stands_though_its_route_cannot_be_published_yet(tmp_path: Path) -> None:
    state = tmp_path / "s"
    async with running_plane(state) as running:
        services, organization = running.plane.services, running.organization
        old = await services.create(organization, NEW)
        await until("the old one runs", lambda: running.state_of(old.id) == "running")
        (state / "routes.new").mkdir()  # in the way of the next table
        service = await services.create(organization, NEW)
        assert service.state == "creating"
        assert (await services.restart(organization, old.id)).state == "restarting"
        with pytest.raises(Unavailable, match="the new name is stored and still being applied"):
            await services.change(organization, old.id, ServiceChange(name="new"))
        assert [one.name for one in services.list(organization)] == ["new", NEW.name]
        (state / "routes.new").rmdir()
        await until("both run", lambda: all(one.state == "running" for one in services.list(organization)))
        (state / "routes.new").mkdir()
        await services.delete(organization, old.id)
        await services.delete(organization, service.id)
        (state / "routes.new").rmdir()
        await until("both are gone", lambda: not services.list(organization))
        assert decode_routes((state / "routes.json").read_bytes()) == ()


async def test_what_happens_to_a_service_that_is_gone_is_not_remembered(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
        await services.delete(organization, service.id)
        await until("gone", lambda: not services.list(organization))
        passes = running.plane.reconciler._passes
        running.engine.events.put_nowait(service.id)
        await until("it was told", lambda: running.engine.events.empty() and not running.plane.reconciler._woken)
        assert passes._happened == passes._looked_at == set()


async def test_renames_that_overlap_answer_as_soon_as_the_last_one_is_in_effect(tmp_path: Path) -> None:
    gate = asyncio.Event()
    gate.set()

    async def before(_call: str, _service: ServiceId) -> None:
        await gate.wait()

    async with running_plane(tmp_path / "s", before=before) as running:
        services, organization = running.plane.services, running.organization
        service = await services.create(organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
        gate.clear()
        renames: list[asyncio.Task[Service]] = []
        for name in ("first", "second", "third"):
            renames.append(asyncio.create_task(services.change(organization, service.id, ServiceChange(name=name))))
            await until("stored", lambda wanted=name: services.get(organization, service.id).name == wanted)
        gate.set()
        async with asyncio.timeout(commands.NAME_SECONDS / 2):
            await asyncio.gather(*renames)
        assert len(running.engine.world.servers[service.id].names) == 4


async def test_the_last_use_of_a_key_outlives_the_control_plane(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        access, organization = running.plane.access, running.organization
        key, secret = await access.create_key(organization, name="k", role=Role.ADMIN, api_version=None)
        assert access.authenticate(key.key_id, secret) is not None
    async with running_plane(tmp_path / "s") as running:
        assert running.plane.access.key(organization, key.id).used_at is not None
