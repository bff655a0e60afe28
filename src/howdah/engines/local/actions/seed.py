"""A fresh data directory in place. Only for an instance that never had one."""

from __future__ import annotations

import asyncio

from howdah.domain.instances import Instance
from howdah.domain.states import PostgresVersion
from howdah.engines.local.machine import Machine


async def seed(machine: Machine, instance: Instance, version: PostgresVersion) -> None:
    """Claim a clone, give it to the instance, put it in place, record it: in this order. Raises OSError."""
    async with machine.seeds:
        wanted = await asyncio.to_thread(machine.launcher.prepare, instance)
        clone = await machine.pools[version].take() if wanted else None
        await asyncio.to_thread(machine.launcher.place, instance, clone, machine.binaries[version].full)
