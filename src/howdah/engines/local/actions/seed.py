"""A fresh data directory in place. Only for an instance that never had one."""

from __future__ import annotations

import asyncio

from howdah.domain.instances import Instance
from howdah.domain.states import PostgresVersion
from howdah.engines.local.identity import identifier_of
from howdah.engines.local.layout import InstancePaths
from howdah.engines.local.machine import Machine
from howdah.engines.local.record import write_initialised
from howdah.engines.local.sockets import make_sockets
from howdah.launcher.files import is_plain_directory, sync_directory
from howdah.launcher.launcher import Launcher


async def seed(machine: Machine, instance: Instance, version: PostgresVersion) -> None:
    """Claim a clone, give it to the instance, put it in place, record it: in this order. Raises OSError."""
    paths = machine.layout.of(instance)
    async with machine.seeds:
        await asyncio.to_thread(_prepare, machine, instance, paths)
        if not is_plain_directory(paths.data) and not is_plain_directory(paths.incoming):
            await machine.pools[version].take(paths.incoming)
        full = machine.binaries[version].full
        await asyncio.to_thread(_put_in_place, machine.launcher, instance, paths, full)


def _prepare(machine: Machine, instance: Instance, paths: InstancePaths) -> None:
    launcher, uid = machine.launcher, instance.uid
    launcher.make_directory(machine.layout.services, uid=None, mode=0o711)
    launcher.make_directory(paths.home.parent, uid=None, mode=0o711)
    launcher.make_directory(paths.home, uid=None, mode=0o711)
    launcher.make_directory(paths.conf, uid=None, mode=0o711)
    launcher.make_directory(paths.tls, uid=None, mode=0o711)
    launcher.make_directory(paths.log, uid=uid, mode=0o700)
    make_sockets(machine.layout, launcher, instance)


def _put_in_place(launcher: Launcher, instance: Instance, paths: InstancePaths, full: str) -> None:
    if not is_plain_directory(paths.data):
        launcher.give(paths.incoming, instance.uid)
        paths.incoming.rename(paths.data)
    # The parents too: their entries are new, and what follows says that the data directory is there for good.
    for directory in (paths.home, paths.home.parent, paths.home.parent.parent):
        sync_directory(directory)
    identifier = identifier_of((paths.data / "global" / "pg_control").read_bytes())
    write_initialised(paths.initialised, full_version=full, identifier=identifier)
