"""The superuser's password, by its verifier: the plain one never reaches the server."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from howdah.domain.instances import Instance
from howdah.engines.local.connection import set_password
from howdah.engines.local.machine import Machine
from howdah.engines.local.observed import Running
from howdah.engines.local.record import encode_applied, read_applied


async def apply_password(
    machine: Machine, instance: Instance, running: Running, *, version: int, verifier: str
) -> None:
    """Set it, then note that it is set. Raises Unavailable."""
    paths = machine.layout.of(instance)
    await set_password(str(paths.sockets), instance.port, pid=running.pid, verifier=verifier)
    note = replace(read_applied(machine.launcher.look(instance, running.pid).applied), password_version=version)
    await asyncio.to_thread(machine.launcher.note, instance, encode_applied(note))
