"""A server's end: a fast shutdown, then an immediate one, then SIGKILL for every process of the instance."""

from __future__ import annotations

import asyncio
import signal

from howdah.domain.errors import Unavailable
from howdah.domain.instances import Instance
from howdah.engines.local.machine import Machine

FAST = 60.0
IMMEDIATE = 10.0
"""Seconds for a fast shutdown (it writes a checkpoint) and for an immediate one."""
_WAIT = 1.0


async def kill(machine: Machine, instance: Instance) -> None:
    """End every process of it. Raises Unavailable."""
    if machine.watch.process(instance.id) is not None:
        machine.watch.stop_asked(instance.id)
    if not await asyncio.to_thread(machine.launcher.kill_all, instance):
        raise Unavailable("the server's processes do not end")


async def stop(machine: Machine, instance: Instance, *, fast: float = FAST, immediate: float = IMMEDIATE) -> bool:
    """Ask it to end and wait a bounded time; whether it has. Called again, it asks harder when its time is over.

    Raises Unavailable when not even SIGKILL ends it.
    """
    watch, launcher = machine.watch, machine.launcher
    process = watch.process(instance.id)
    if process is None:
        return True
    asked = watch.stop_asked(instance.id)
    if asked >= fast + immediate:
        await kill(machine, instance)
    else:
        launcher.signal(instance, process, signal.SIGINT if asked < fast else signal.SIGQUIT)
        launcher.signal(instance, process, signal.SIGCONT)
    return await watch.ended(instance.id, min(_WAIT, fast if asked < fast else immediate))
