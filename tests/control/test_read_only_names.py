"""The read-only name of a service: where it leads while standbys and primary come and go."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from control.fake_engine import World
from control.planes import NEW, Running, certified, running_plane, until

from howdah.control.clock import utc_now
from howdah.domain.ids import ServiceId
from howdah.domain.names import read_only, with_read_only
from howdah.domain.services import Service, ServiceChange
from howdah.domain.states import HaType


async def created(running: Running, ha_type: HaType = HaType.SYNC) -> Service:
    services = running.plane.services
    service = await services.create(running.organization, dataclasses.replace(NEW, ha_type=ha_type))
    await until("running", lambda: running.state_of(service.id) == "running")
    return service


def reached(running: Running, service: ServiceId) -> tuple[str, list[int]] | None:
    """The state of the read-only route, and the ports that it leads to."""
    route = running.read_only_route(service)
    return None if route is None else (route.state.value, [port for _, port in route.servers])


async def tell(running: Running, service: ServiceId, *ports: int) -> None:
    """The engine sees other standbys."""
    running.engine.world.standbys[service] = ports
    running.plane.services.wake(service)
    await until("it is known", lambda: (reached(running, service) or ("", None))[1] == list(ports))


@contextmanager
def listening() -> Generator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_it_is_held_without_standbys_and_leads_to_those_there_are(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        service = await created(running)
        route = running.read_only_route(service.id)
        assert route is not None
        assert (route.names, reached(running, service.id)) == ((read_only(service.hostname),), ("held", []))
        await tell(running, service.id, 20_101, 20_102)
        assert reached(running, service.id) == ("open", [20_101, 20_102])
        await tell(running, service.id, 20_102)
        assert reached(running, service.id) == ("open", [20_102])
        await tell(running, service.id)
        assert reached(running, service.id) == ("held", [])
        assert getattr(running.route(service.id), "state", None) == "open"


async def test_a_service_that_is_to_have_no_standbys_has_no_read_only_name(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        service = await created(running, HaType.NONE)
        assert running.read_only_route(service.id) is None


async def test_it_goes_on_while_the_primary_is_unavailable_and_goes_with_the_service(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        service = await created(running)
        with listening() as port:
            await tell(running, service.id, port)
            running.engine.world.broken[service.id] = "its data directory is gone"
            running.engine.crash(service.id)
            await until("unavailable", lambda: running.state_of(service.id) == "unavailable")
            await until("held", lambda: getattr(running.route(service.id), "state", None) == "held")
            assert reached(running, service.id) == ("open", [port])
            await running.plane.services.delete(running.organization, service.id)
            assert reached(running, service.id) is None


async def test_a_standby_that_has_died_is_left_out_before_it_can_be_started_again(tmp_path: Path) -> None:
    seen: list[tuple[str, list[int]] | None] = []

    async def before(_call: str, service: ServiceId) -> None:
        seen.append(reached(running, service))

    async with running_plane(tmp_path / "s", before=before) as running:
        service = await created(running)
        with ExitStack() as alive, listening() as other:
            died = alive.enter_context(listening())
            await tell(running, service.id, died, other)
            await until("settled", lambda: not running.plane.reconciler._woken)
            alive.close()
            seen.clear()
            running.engine.world.standbys[service.id] = (other,)
            running.engine.events.put_nowait(service.id)
            await until("it was looked at", lambda: bool(seen) and not running.plane.reconciler._woken)
            assert set(map(str, seen)) == {str(("open", [other]))}
            with listening() as back:
                await tell(running, service.id, back, other)
                assert reached(running, service.id) == ("open", [back, other])


async def test_a_standby_that_died_while_no_control_plane_ran_is_left_out_too(tmp_path: Path) -> None:
    world, seen = World(), list[tuple[str, list[int]] | None]()

    async def before(_call: str, service: ServiceId) -> None:
        seen.append(reached(running, service))

    with ExitStack() as alive, listening() as other:
        died = alive.enter_context(listening())
        async with running_plane(tmp_path / "s", world) as running:
            service = await created(running)
            await tell(running, service.id, died, other)
        alive.close()
        async with running_plane(tmp_path / "s", world, before=before) as running:
            await until("it was looked at", lambda: bool(seen))
            assert seen[0] == ("open", [other])


async def test_old_hostnames_have_read_only_names_as_long_as_they_work(tmp_path: Path) -> None:
    now = [utc_now()]
    async with running_plane(tmp_path / "s", clock=lambda: now[0]) as running:
        service = await created(running)
        await tell(running, service.id, 20_101)
        renamed = await running.plane.services.change(running.organization, service.id, ServiceChange(name="orders"))
        assert routed(running, service.id) == [renamed.hostname, service.hostname]
        assert certified(running, service.id) == with_read_only([renamed.hostname, service.hostname])
        now[0] += timedelta(hours=25)
        running.plane.schedule.look_again()
        await until("the old name is gone", lambda: routed(running, service.id) == [renamed.hostname])
        await until("so it is", lambda: certified(running, service.id) == with_read_only([renamed.hostname]))


def routed(running: Running, service: ServiceId) -> list[str]:
    """The hostnames that are routed; each has its read-only name."""
    route, read_only_route = running.route(service), running.read_only_route(service)
    assert route is not None
    assert read_only_route is not None
    if read_only_route.names != tuple(read_only(name) for name in route.names):
        return []
    return list(route.names)
