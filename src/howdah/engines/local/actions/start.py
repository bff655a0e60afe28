"""A server process of its own session, which outlives us."""

from __future__ import annotations

import asyncio
import subprocess

from howdah.domain.errors import Unavailable
from howdah.domain.instances import Instance
from howdah.domain.services import ServiceSpec
from howdah.engines.local.actions.await_ready import await_ready
from howdah.engines.local.configuration import command_line
from howdah.engines.local.layout import InstancePaths
from howdah.engines.local.machine import Machine
from howdah.engines.local.sockets import make_sockets

_SIGNAL_FILES = ("standby.signal", "recovery.signal")


async def start(machine: Machine, instance: Instance, spec: ServiceSpec, digest: str) -> None:
    """Start it and wait a bounded time for it to be ready; only some do so at once.

    Raises Unavailable when processes of the previous server do not end; OSError.
    """
    async with machine.starts:
        spawned = asyncio.ensure_future(asyncio.to_thread(_start, machine, instance, spec, digest))
        spawned.add_done_callback(lambda done: _hold(machine, instance, done))
        # Whoever stops waiting: a process that has been started is watched.
        await asyncio.shield(spawned)
        await await_ready(machine, instance)


def _hold(machine: Machine, instance: Instance, spawned: asyncio.Future[subprocess.Popen[bytes]]) -> None:
    if not spawned.cancelled() and spawned.exception() is None:
        process = spawned.result()
        machine.watch.hold(instance, process.pid, process)


def _start(machine: Machine, instance: Instance, spec: ServiceSpec, digest: str) -> subprocess.Popen[bytes]:
    paths, launcher = machine.layout.of(instance), machine.launcher
    binaries = machine.binaries[spec.postgres_version]
    _clear_leftovers(machine, instance, paths)
    make_sockets(machine.layout, launcher, instance)
    launcher.make_directory(paths.log, uid=instance.uid, mode=0o700)
    # The role comes from what is wanted, never from what lies in a directory that the tenant can write.
    for name in _SIGNAL_FILES:
        launcher.remove_entry(paths.data, name)
    return launcher.start(
        command_line(spec, instance, paths, binaries, digest=digest),
        uid=instance.uid,
        output=paths.startup_log,
        environment=binaries.environment,
    )


def _clear_leftovers(machine: Machine, instance: Instance, paths: InstancePaths) -> None:
    """After a postmaster was killed its backends may live on, and its lock files name a pid that may be reused.

    Whether one was ever started is our own note: its tenant can delete postmaster.pid, and two servers' processes on
    one data directory would destroy it.
    """
    launcher = machine.launcher
    if not paths.startup_log.exists():
        return
    if not launcher.kill_all(instance.uid, [paths.data]):
        raise Unavailable("processes of the previous server do not end")
    launcher.remove_entry(paths.data, "postmaster.pid")
    if paths.sockets.is_dir():
        launcher.remove_entry(paths.sockets, f".s.PGSQL.{instance.port}.lock")
