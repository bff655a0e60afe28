"""Nothing is left of a service: processes, files, sockets, and last the row that says it exists."""

from __future__ import annotations

import asyncio

import structlog

from howdah.domain.ids import ServiceId
from howdah.domain.instances import Instance
from howdah.engines.local.actions.stop import stop
from howdah.engines.local.adoption import adopt
from howdah.engines.local.machine import Machine
from howdah.engines.protocol import Removal

FAST = 2.0
IMMEDIATE = 1.0
_log = structlog.get_logger()


async def remove_service(machine: Machine, service: ServiceId) -> Removal:
    """One pass. What is half done is found again by the next: processes, the trash directory, the row."""
    for instance in machine.registry.of(service):
        adopt(machine, instance)
        for _ in range(5):
            if await stop(machine, instance, fast=FAST, immediate=IMMEDIATE):
                break
        else:
            return Removal.STILL_THERE
        if not await asyncio.to_thread(_delete, machine, instance):
            return Removal.STILL_THERE
        await machine.registry.remove(instance.id)
        machine.watch.forget(instance.id)
    await asyncio.to_thread(machine.launcher.remove_empty, service.ubid)
    return Removal.REMOVED


def _delete(machine: Machine, instance: Instance) -> bool:
    if not machine.launcher.kill_all(instance):
        return False
    try:
        machine.launcher.delete(instance)
    except OSError as error:
        _log.warning("a removed instance cannot be deleted yet", instance=str(instance.id), error=str(error))
        return False
    return True
