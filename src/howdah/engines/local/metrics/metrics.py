"""What is measured of one service's servers."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from howdah.domain.errors import Unavailable
from howdah.domain.ids import ServiceId
from howdah.domain.metrics import ServerMetrics
from howdah.engines.local.machine import Machine
from howdah.engines.local.metrics.statistics import ask
from howdah.engines.local.metrics.usage import Usages
from howdah.engines.local.observe import observe
from howdah.engines.local.observed import Phase


async def measure(machine: Machine, usages: Usages, service: ServiceId) -> ServerMetrics:
    """Of its primary, or of its only server. What cannot be asked is left out of what is told."""
    instance = next(iter(machine.registry.of(service)), None)
    running = observe(machine, instance).running if instance is not None else None
    if instance is None or running is None:
        return ServerMetrics()
    usage = await asyncio.to_thread(usages.of, instance.id, running.pid)
    if running.phase is not Phase.READY or running.suspended:
        return ServerMetrics(usage)
    with suppress(Unavailable):
        sockets = machine.layout.of(instance).sockets
        return ServerMetrics(usage, await ask(sockets, instance.port, running.pid, machine.registry.all))
    return ServerMetrics(usage)
