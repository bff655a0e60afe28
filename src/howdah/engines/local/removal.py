"""Nothing is left of a service: processes, files, sockets, and last the row that says it exists."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import structlog

from howdah.domain.ids import ServiceId
from howdah.domain.instances import Instance
from howdah.engines.local.actions.stop import stop
from howdah.engines.local.adoption import adopt
from howdah.engines.local.deletion import delete_home
from howdah.engines.local.machine import Machine
from howdah.engines.local.sockets import discard_sockets
from howdah.engines.protocol import Removal
from howdah.launcher.files import is_plain_directory, sync_directory

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
    await asyncio.to_thread(_remove_empty, machine.layout.service(service))
    return Removal.REMOVED


def _delete(machine: Machine, instance: Instance) -> bool:
    layout, launcher = machine.layout, machine.launcher
    paths, trash = layout.of(instance), layout.trash(instance.service, instance.id)
    if not launcher.kill_all(instance.uid, [paths.home, trash]):
        return False
    if is_plain_directory(paths.home):
        # Under this name it never looks like an instance again, however little of it is deleted.
        paths.home.rename(trash)
        sync_directory(paths.home.parent)
    try:
        delete_home(launcher, trash, instance.uid)
        discard_sockets(launcher, paths.sockets, instance.uid)
        launcher.release_memory(instance.uid)
    except OSError as error:
        _log.warning("a removed instance cannot be deleted yet", instance=str(instance.id), error=str(error))
        return False
    return True


def _remove_empty(directory: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        directory.rmdir()
        sync_directory(directory.parent)
