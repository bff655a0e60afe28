"""The wall clock jumps by years, in both directions, while a control plane works and between two of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from control.fake_engine import World
from control.planes import NEW, Running, running_plane, until
from cryptography import x509

from howdah.control.certificates import LONGEST_SLEEP_SECONDS
from howdah.control.clock import utc_now
from howdah.domain.ids import ServiceId
from howdah.domain.organizations import ApiKey, KeyState, Role
from howdah.domain.services import Service, ServiceChange
from howdah.security.keys import hash_secret, new_key
from howdah.store import keys
from howdah.store import services as stored_services

YEARS = timedelta(days=3 * 365)


class WallClock:
    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> datetime:
        return self.now


async def created(running: Running) -> Service:
    service = await running.plane.services.create(running.organization, NEW)
    await until("running", lambda: running.state_of(service.id) == "running")
    return service


def certificate(running: Running, service: ServiceId) -> x509.Certificate:
    return x509.load_pem_x509_certificate(running.engine.world.servers[service].certificate.encode())


def names(running: Running, service: ServiceId) -> tuple[str, ...]:
    route = running.route(service)
    return () if route is None else route.names


async def has_valid_certificate(running: Running, clock: WallClock, service: ServiceId) -> None:
    def valid() -> bool:
        shown = certificate(running, service)
        return shown.not_valid_before_utc <= clock.now < shown.not_valid_after_utc

    await until("its certificate is valid by the clock", valid)
    await until("running", lambda: running.state_of(service) == "running")


async def expiring_key(running: Running, expire_at: datetime) -> tuple[str, str]:
    made = new_key()
    key = ApiKey(
        id=uuid4(),
        organization=running.organization,
        key_id=made.key_id,
        name="expiring",
        roles=(Role.ADMIN,),
        state=KeyState.ENABLED,
        suffix=made.suffix,
        created_at=utc_now(),
        expire_at=expire_at,
        used_at=None,
        api_version=None,
    )
    await running.plane.store.write(lambda connection: keys.add(connection, key, hash_secret(made.secret)))
    return made.key_id, made.secret


@pytest.mark.fault(
    what="The wall clock jumps years ahead and back while the control plane runs",
    then="Certificates are replaced so that they are valid by the clock, names whose time is over end, keys expire and"
    " un-expire by the clock, services keep their order, and nothing is restarted",
)
async def test_a_jump_while_running_is_followed(tmp_path: Path) -> None:
    clock = WallClock()
    async with running_plane(tmp_path / "s", clock=clock) as running:
        services, organization = running.plane.services, running.organization
        first = await created(running)
        renamed = await services.change(organization, first.id, ServiceChange(name="renamed"))
        key = await expiring_key(running, clock.now + timedelta(days=1))
        assert running.plane.access.authenticate(*key)
        starts = running.engine.world.servers[first.id].starts

        clock.now += YEARS
        running.plane.schedule.look_again()
        await has_valid_certificate(running, clock, first.id)
        await until("the old name ends", lambda: names(running, first.id) == (renamed.hostname,))
        assert running.plane.access.authenticate(*key) is None
        second = await created(running)

        clock.now -= YEARS
        running.plane.schedule.look_again()
        await has_valid_certificate(running, clock, first.id)
        assert running.plane.access.authenticate(*key)
        third = await created(running)

        assert [one.id for one in services.list(organization)] == [first.id, second.id, third.id]
        assert running.engine.world.servers[first.id].starts == starts
        assert running.plane.readiness() == {}


@pytest.mark.parametrize("jump", [YEARS, -YEARS, 20 * YEARS], ids=["ahead", "back", "beyond every certificate"])
@pytest.mark.fault(
    what="The wall clock is years off when the control plane is started, and is set right later",
    then="It starts all the same, and certificates are valid again once the clock is right",
)
async def test_a_jump_between_two_control_planes_is_followed(tmp_path: Path, jump: timedelta) -> None:
    clock, world = WallClock(), World()
    async with running_plane(tmp_path / "s", world, clock=clock) as running:
        service = await created(running)
    clock.now += jump
    async with running_plane(tmp_path / "s", world, clock=clock) as running:
        shown = running.plane.services.get(running.organization, service.id)
        assert shown == replace(service, state=shown.state)
        await running.plane.schedule.catch_up()
        assert running.plane.readiness() == {}
    clock.now -= jump
    async with running_plane(tmp_path / "s", world, clock=clock) as running:
        await has_valid_certificate(running, clock, service.id)
        assert world.servers[service.id].starts == 1


async def test_after_a_jump_nothing_is_done_again_and_again(tmp_path: Path) -> None:
    """Not even for a service that cannot be deleted: its names have ended, its certificate is not replaced."""
    clock = WallClock()
    stuck = asyncio.Event()

    async def before(call: str, _service: ServiceId) -> None:
        if call == "remove":
            await stuck.wait()

    async with running_plane(tmp_path / "s", clock=clock, before=before) as running:
        services, organization, schedule = running.plane.services, running.organization, running.plane.schedule
        kept, doomed = await created(running), await created(running)
        for one in (kept, doomed):
            await services.change(organization, one.id, ServiceChange(name="renamed"))
        await services.delete(organization, doomed.id)
        for jump in (YEARS, -YEARS):
            clock.now += jump
            assert await schedule.catch_up()
            issued = stored_services.find(running.plane.store, kept.id)
            assert schedule._seconds_to_next() == LONGEST_SLEEP_SECONDS
            assert await schedule.catch_up()
            again = stored_services.find(running.plane.store, kept.id)
            assert issued is not None
            assert again is not None
            assert again.certificate == issued.certificate
            await has_valid_certificate(running, clock, kept.id)
        stuck.set()
