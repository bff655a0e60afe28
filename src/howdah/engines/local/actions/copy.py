"""A data directory copied from a primary in place. Only for a standby that has none."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from howdah.domain.errors import Unavailable
from howdah.domain.instances import Instance, Role
from howdah.domain.services import ServiceSpec
from howdah.engines.local.archiving.base import tablespaces
from howdah.engines.local.machine import Machine
from howdah.engines.local.members.copies import Copies, Original
from howdah.engines.local.members.membership import slot_of
from howdah.engines.local.members.replication import histories, make_slots
from howdah.engines.local.members.report import stored_bytes
from howdah.engines.local.observed import Running
from howdah.engines.local.room import LEAST_BYTES, free

_GIB = 1 << 30


async def copy(
    machine: Machine, copies: Copies, standby: Instance, spec: ServiceSpec, source: Instance, running: Running
) -> None:
    """Go on for a bounded time; when it is made, put it in place, record it, and note that it counts.
    ``running``: the server of ``source``, its primary.

    Raises BackupError, Unavailable, OSError.
    """
    binaries = machine.binaries[spec.postgres_version]
    clone: str | None = None
    if await asyncio.to_thread(machine.launcher.prepare, standby):
        sockets = machine.layout.of(source).sockets
        places: dict[str, str] = {}
        known: dict[str, bytes] = {}
        if not copies.under_way(standby.id):
            await make_slots(machine, source, running.pid, [slot_of(standby.id)])
            places = await tablespaces(sockets, source.port, running.pid)
            known = await histories(machine, source, running.pid)
            needed = await stored_bytes(machine, source.service) + LEAST_BYTES
            if (there := free(machine.layout)) < needed:
                # What has no room is not begun: it would take the last of it from servers that run.
                raise Unavailable(f"the disk has no room for a copy: {there >> 20} MiB of {needed >> 20} MiB")
        original = Original(binaries, sockets, source.port, spec.size.storage_gib * _GIB, places, known)
        clone = await copies.step(standby.id, original)
        if clone is None:
            return
    await asyncio.to_thread(machine.launcher.place, standby, clone, binaries.full)
    copies.over(standby.id)
    if standby.role is Role.STANDBY:
        await machine.registry.put(replace(standby, joined=True))
