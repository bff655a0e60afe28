"""The control plane is killed at every boundary of every command, and a new one has to converge."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from control.fake_engine import World
from control.planes import NEW, Running, running_plane, until
from control.test_lifecycle import is_password

from howdah.control.publisher import Publisher
from howdah.domain.ids import ServiceId
from howdah.domain.services import Service, ServiceChange
from howdah.store import hostnames, services
from howdah.store.store import Store

Command = Callable[[Running, Service], Any]


class Kill:
    """Nothing goes on after the ``at``-th boundary: before and after each store write, engine call and publishing."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.crossed = 0
        self.dead = asyncio.Event()
        self.armed = False

    async def boundary(self, *_: object) -> None:
        if self.armed:
            self.crossed += 1
            if self.crossed == self.at:
                self.dead.set()
        if self.dead.is_set():
            await asyncio.Event().wait()


@contextlib.contextmanager
def boundaries_of(kill: Kill, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        for owner, name in ((Store, "write"), (Publisher, "publish")):
            whole = getattr(owner, name)

            async def around(self: Any, *arguments: Any, whole: Any = whole, **named: Any) -> Any:
                await kill.boundary()
                result = await whole(self, *arguments, **named)
                await kill.boundary()
                return result

            patch.setattr(owner, name, around)
        yield


async def create(running: Running, _: Service) -> None:
    await running.plane.services.create(running.organization, NEW)


async def rename(running: Running, service: Service) -> None:
    await running.plane.services.change(running.organization, service.id, ServiceChange(name="renamed"))


async def password(running: Running, service: Service) -> None:
    await running.plane.services.set_password(running.organization, service.id, "Given-Password-1")


async def restart(running: Running, service: Service) -> None:
    await running.plane.services.restart(running.organization, service.id)


async def delete(running: Running, service: Service) -> None:
    await running.plane.services.delete(running.organization, service.id)


async def life_until(kill: Kill, state: Path, world: World, command: Command) -> None:
    """A service runs; then ``command``, until everything is settled or the plane is dead."""
    async with running_plane(state, world, before=kill.boundary) as running:
        service = await running.plane.services.create(running.organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
        await until("settled", lambda: not running.plane.reconciler._woken)
        kill.armed = True
        commanded = asyncio.ensure_future(command(running, service))
        dead = asyncio.ensure_future(kill.dead.wait())
        await asyncio.wait({commanded, dead}, return_when=asyncio.FIRST_COMPLETED)
        while not kill.dead.is_set() and running.plane.reconciler._woken:
            await asyncio.sleep(0.001)
        for task in (commanded, dead):
            task.cancel()
        await asyncio.gather(commanded, dead, return_exceptions=True)


def is_converged(running: Running) -> bool:
    """What is stored, what exists and what is routed are the same."""
    store, world = running.plane.store, running.engine.world
    stored = [services.find(store, service) for service in services.ids(store)]
    if {row.service.id for row in stored if row} != set(world.servers):
        return False
    return all(row is not None and is_true(running, row.service.id) for row in stored)


def is_true(running: Running, id: ServiceId) -> bool:
    store, server, route = running.plane.store, running.engine.world.servers[id], running.route(id)
    row = services.find(store, id)
    shown = running.plane.services.get(running.organization, id)
    assert row is not None
    return (
        row.service.state == "running"
        and server.up
        and server.restart == row.restart == row.restart_seen
        and server.certificate == row.certificate
        and server.names == hostnames.of(store, id)
        and is_password(shown.password, server.verifier)
        and route is not None
        and (route.state, route.servers, route.names) == ("open", (("127.0.0.1", server.port),), server.names)
        and [(i.port, i.service) for i in running.engine.registry.of(id)] == [(server.port, id)]
    )


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("command", [create, rename, password, restart, delete])
async def test_a_new_control_plane_converges_wherever_the_old_one_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, stride: int
) -> None:
    """``stride``: how many boundaries are passed over from one kill to the next."""
    whole = Kill(None)
    with boundaries_of(whole, monkeypatch):
        await life_until(whole, tmp_path / "whole", World(), command)
    assert whole.crossed >= 4
    outcomes: set[int] = set()
    first = random.randint(1, stride)
    print(f"every {stride} boundaries from {first} on")
    for at in range(first, whole.crossed + 1, stride):
        kill, world, state = Kill(at), World(), tmp_path / f"killed-at-{at}"
        with boundaries_of(kill, monkeypatch):
            await life_until(kill, state, world, command)
        async with running_plane(state, world) as running:
            await until(
                f"convergence after a kill at boundary {at} of {whole.crossed}", lambda r=running: is_converged(r)
            )
            assert isinstance(running.organization, UUID)
            outcomes.add(len(world.servers))
    possible = {create: {1, 2}, delete: {0, 1}}.get(command, {1})
    assert outcomes <= possible
    assert stride > 1 or outcomes == possible
