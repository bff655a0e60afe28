"""Asks each running server now and then whether it is alive, to find those that hang."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from howdah.domain.instances import Instance
from howdah.engines.local.handshake import is_alive
from howdah.engines.local.machine import Machine


@dataclass(frozen=True, slots=True)
class ProbeTimes:
    """Seconds: between two probes of a server, how long it may take to answer, before a missed one is repeated, and at
    least between the probes of two servers: with many of them each is asked less often."""

    interval: float = 10.0
    limit: float = 5.0
    again: float = 1.0
    apart: float = 0.1


async def probe_all(machine: Machine, times: ProbeTimes) -> None:
    """Probe for ever, the servers spread over the interval."""
    while True:
        servers = machine.watch.held()
        if not servers:
            await asyncio.sleep(times.again)
            continue
        pause = max(times.interval / len(servers), times.apart)
        async with asyncio.TaskGroup() as group:
            for instance in servers:
                group.create_task(_probe(machine, instance, times))
                await asyncio.sleep(pause)


async def _probe(machine: Machine, instance: Instance, times: ProbeTimes) -> None:
    watch, paths = machine.watch, machine.layout.of(instance)
    path = f"{paths.sockets}/.s.PGSQL.{instance.port}"
    for _ in range(3):
        pid = watch.pid(instance.id)
        # One that is starting refuses us, with an error in its log.
        if pid is None or not watch.lets_in(instance.id):
            return
        alive = await is_alive(path, instance.port, limit=times.limit)
        if watch.pid(instance.id) == pid:
            watch.probed(instance.id, alive=alive)
        if alive:
            return
        await asyncio.sleep(times.again)
