from __future__ import annotations

import asyncio
import time
from pathlib import Path
from statistics import median

import pytest
from control.planes import NEW, Running, running_plane, until

from howdah.domain.ids import ServiceId


def get_seconds(running: Running, service: ServiceId) -> float:
    def once() -> float:
        since = time.perf_counter()
        running.plane.services.get(running.organization, service)
        return time.perf_counter() - since

    return median(once() for _ in range(2_000))


@pytest.mark.long
async def test_a_get_costs_the_same_among_a_thousand_services(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        services, organization = running.plane.services, running.organization
        first = await services.create(organization, NEW)
        await until("running", lambda: running.state_of(first.id) == "running")
        alone = get_seconds(running, first.id)
        for _ in range(20):
            await asyncio.gather(*(services.create(organization, NEW) for _ in range(50)))
        await until("all run", lambda: all(s.state == "running" for s in services.list(organization)), 60, every=0.2)
        await until("settled", lambda: not running.plane.reconciler._woken)
        among_many = get_seconds(running, first.id)
        assert among_many < 3 * alone, (alone, among_many)
        assert among_many < 0.001
