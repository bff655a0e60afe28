"""Wait for a starting server, as it says itself in line 8 of postmaster.pid; quicker than pg_ctl -w."""

from __future__ import annotations

import time

from howdah.domain.instances import Instance
from howdah.engines.local.machine import Machine
from howdah.engines.local.observe import find_server, server_phase
from howdah.engines.local.observed import Phase
from howdah.launcher.processes import children, inspect_process

LIMIT = 1.0
_FIRST_POLL = 0.002
_LONGEST_POLL = 0.02


async def await_ready(machine: Machine, instance: Instance) -> None:
    """Return when it is no longer starting, or after LIMIT seconds: recovering from a crash may take long."""
    paths = machine.layout.of(instance)
    end = time.monotonic() + LIMIT
    poll = _FIRST_POLL
    while time.monotonic() < end:
        pid = machine.watch.pid(instance.id)
        if pid is None or server_phase(instance, paths, machine.ground, pid) is not Phase.STARTING:
            return
        if await machine.watch.ended(instance.id, poll):
            return
        poll = min(_LONGEST_POLL, poll * 1.1)


def progress(machine: Machine, instance: Instance) -> str:
    """In words, how far a starting server is."""
    facts = find_server(instance, machine.layout.of(instance), machine.ground, machine.watch.pid(instance.id))
    for child in children(facts.pid) if facts else ():
        title = (process.arguments[0] if (process := inspect_process(child)) else "").strip()
        if "startup recovering" in title:
            return f"the server is recovering (replaying WAL segment {title.rpartition(' ')[2]})"
    return "the server is starting up"
