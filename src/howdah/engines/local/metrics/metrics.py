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
from howdah.launcher.processes import state_of


async def measure(machine: Machine, usages: Usages, service: ServiceId) -> ServerMetrics:
    """Of its primary, or of its only server. What cannot be asked is left out of what is told."""
    instance = next(iter(machine.registry.of(service)), None)
    pid = machine.watch.pid(instance.id) if instance is not None else None
    if instance is None or pid is None:
        return ServerMetrics()
    usage = await asyncio.to_thread(usages.of, instance.id, pid)
    if state_of(pid) in ("T", "t"):  # It would keep us waiting.
        return ServerMetrics(usage)
    with suppress(Unavailable):
        sockets = machine.layout.of(instance).sockets
        return ServerMetrics(usage, await ask(sockets, instance.port, pid, machine.registry.all))
    return ServerMetrics(usage)
