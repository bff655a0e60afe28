"""A data directory from an archive in place. Only for an instance that never had one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from howdah.domain.backups import RestoreSource
from howdah.domain.instances import Instance
from howdah.domain.states import PostgresVersion
from howdah.engines.local.machine import Machine
from howdah.engines.local.record import LATEST, encode_applied, read_applied
from howdah.engines.local.restoring import Restorations


async def restore(
    machine: Machine,
    restorations: Restorations,
    instance: Instance,
    source: RestoreSource,
    version: PostgresVersion,
) -> None:
    """Go on for a bounded time; when it is made, note where its recovery is to end, put it in place, record it.

    Raises BackupError, OSError.
    """
    binaries = machine.binaries[version]
    clone: str | None = None
    if await asyncio.to_thread(machine.launcher.prepare, instance):
        made = await restorations.step(instance.service, source, binaries)
        if made is None:
            return
        note = read_applied(machine.launcher.look(instance, None).applied)
        recovery = LATEST if made.target is None else made.target.isoformat()
        await asyncio.to_thread(machine.launcher.note, instance, encode_applied(replace(note, recovery=recovery)))
        clone = made.clone
    await asyncio.to_thread(machine.launcher.place, instance, clone, binaries.full)
    restorations.over(instance.service)


async def finish_restore(machine: Machine, instance: Instance) -> None:
    """Delete the WAL that has been replayed. Raises OSError."""
    await asyncio.to_thread(machine.launcher.forget_recovery, instance)
