from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from control.fake_engine import World
from control.planes import NEW, running_plane, until

from howdah.control import reconciler
from howdah.domain.ids import ServiceId


async def test_a_service_whose_passes_raise_is_tried_again_and_disturbs_no_other(tmp_path: Path) -> None:
    failing: set[ServiceId] = set()
    failures = 0

    async def before(_call: str, service: ServiceId) -> None:
        nonlocal failures
        if service in failing:
            failures += 1
            raise RuntimeError("a bug in the engine")

    async with running_plane(tmp_path / "s", before=before) as running:
        services, organization = running.plane.services, running.organization
        bad = await services.create(organization, NEW)
        failing.add(bad.id)
        good = await services.create(organization, NEW)
        await until("the good one runs", lambda: running.state_of(good.id) == "running")
        await until("the bad one is tried again", lambda: failures >= 2)
        failing.clear()
        await until("the bad one runs", lambda: running.state_of(bad.id) == "running")


async def test_services_that_hang_leave_turns_to_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler, "PASS_SECONDS", 0.5)
    monkeypatch.setattr(reconciler, "PARALLEL", 2)
    monkeypatch.setattr(reconciler, "LONGEST_BACK_OFF_SECONDS", 0.5)
    hanging: set[ServiceId] = set()

    async def before(_call: str, service: ServiceId) -> None:
        if service in hanging:
            await asyncio.Event().wait()

    async with running_plane(tmp_path / "s", before=before) as running:
        services, organization = running.plane.services, running.organization
        for _ in range(4):
            hanging.add((await services.create(organization, NEW)).id)
        good = await services.create(organization, NEW)
        await until("the good one runs", lambda: running.state_of(good.id) == "running")
        hanging.clear()
        monkeypatch.setattr(reconciler, "PASS_SECONDS", 30.0)
        await until("all run", lambda: all(s.state == "running" for s in services.list(organization)), 30)


async def test_passes_are_bounded_in_number_and_one_at_a_time_per_service(tmp_path: Path) -> None:
    most = 0

    async def before(_call: str, _service: ServiceId) -> None:
        nonlocal most
        most = max(most, len(running.engine.running))
        await asyncio.sleep(0.005)

    async with running_plane(tmp_path / "s", before=before) as running:
        services, organization = running.plane.services, running.organization
        made = await asyncio.gather(*(services.create(organization, NEW) for _ in range(40)))
        for service in made:
            running.plane.reconciler.wake(service.id)
        await until("all run", lambda: all(s.state == "running" for s in services.list(organization)), 30)
        assert 1 < most <= reconciler.PARALLEL


async def test_of_many_new_services_the_first_run_before_the_last_are_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "PARALLEL", 1)
    begun: dict[ServiceId, int] = {}

    async def before(_call: str, service: ServiceId) -> None:
        if service not in begun:
            begun[service] = sum(s.state == "running" for s in running.plane.services.list(running.organization))
        await asyncio.sleep(0.001)

    async with running_plane(tmp_path / "s", before=before) as running:
        services, organization = running.plane.services, running.organization
        await asyncio.gather(*(services.create(organization, NEW) for _ in range(5)))
        await until("all run", lambda: all(s.state == "running" for s in services.list(organization)), 30)
        assert max(running.engine.passes.values()) > 1, "one pass is not enough"
        assert sorted(begun.values()) == [0, 1, 2, 3, 4]


async def test_a_service_in_back_off_is_looked_at_at_once_when_something_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "FIRST_BACK_OFF_SECONDS", 3600)
    monkeypatch.setattr(reconciler, "LONGEST_BACK_OFF_SECONDS", 3600)
    broken = True

    async def before(_call: str, _service: ServiceId) -> None:
        if broken:
            raise RuntimeError("a bug in the engine")

    async with running_plane(tmp_path / "s", before=before) as running:
        service = await running.plane.services.create(running.organization, NEW)
        await until("it failed", lambda: running.engine.passes.get(service.id, 0) == 1 and not running.engine.running)
        broken = False
        running.engine.events.put_nowait(service.id)
        await until("running", lambda: running.state_of(service.id) == "running")


async def test_the_sweep_finds_what_no_event_told(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        service = await running.plane.services.create(running.organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
        await until("settled", lambda: not running.plane.reconciler._woken)
        running.engine.world.servers[service.id].up = False
        starts = running.engine.world.servers[service.id].starts
        sweep = asyncio.create_task(running.plane.reconciler._sweep())
        await until("started again", lambda: running.engine.world.servers[service.id].starts == starts + 1)
        sweep.cancel()


async def test_a_settled_service_costs_no_passes_and_no_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_plane(tmp_path / "s") as running:
        service = await running.plane.services.create(running.organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
        await until("settled", lambda: not running.plane.reconciler._woken)
        passes = running.engine.passes[service.id]
        written: list[object] = []
        monkeypatch.setattr(running.plane.store, "_transact", written.append)
        running.plane.reconciler.wake(service.id)
        await until("settled", lambda: not running.plane.reconciler._woken)
        assert running.engine.passes[service.id] == passes + 1
        assert written == []


async def test_an_engine_whose_events_fail_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler, "FIRST_BACK_OFF_SECONDS", 0.01)
    world = World()
    async with running_plane(tmp_path / "s", world) as running:
        service = await running.plane.services.create(running.organization, NEW)
        await until("running", lambda: running.state_of(service.id) == "running")
        running.engine.events.put_nowait(RuntimeError("the feed broke"))
        running.engine.crash(service.id)
        await until("started again", lambda: world.servers[service.id].starts == 2)
        assert running.plane.readiness() == {}
