"""New files in effect in a running server, seen from outside."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import replace

from howdah.domain.errors import Unavailable
from howdah.domain.instances import Instance
from howdah.engines.local.handshake import leaf, shown_certificate
from howdah.engines.local.machine import Machine
from howdah.engines.local.observed import Running
from howdah.engines.local.record import encode_applied, read_applied
from howdah.launcher.servers import Started

LIMIT = 3.0
_POLL = 0.01


async def reload(machine: Machine, instance: Instance, running: Running, *, certificate: str, digest: str) -> None:
    """Signal it, and note the new configuration once it shows the new certificate. Raises Unavailable."""
    process = Started(running.pid, running.started)
    machine.launcher.signal(instance, process, signal.SIGHUP)
    expected = leaf(certificate)
    end = time.monotonic() + LIMIT
    while await asyncio.to_thread(shown_certificate, instance.port) != expected:
        if time.monotonic() > end:
            raise Unavailable("the server does not show its new certificate")
        await asyncio.sleep(_POLL)
    note = read_applied(machine.launcher.look(instance, running.pid).applied)
    note = replace(note, configuration=digest, process=(running.pid, running.started))
    await asyncio.to_thread(machine.launcher.note, instance, encode_applied(note))
