"""Wait for a starting server, as it says itself in line 8 of postmaster.pid; quicker than pg_ctl -w."""

from __future__ import annotations

import time

from howdah.domain.instances import Instance
from howdah.engines.local.children import replayed_segment
from howdah.engines.local.machine import Machine
from howdah.engines.local.observe import current_phase
from howdah.engines.local.observed import Phase

LIMIT = 1.0
_FIRST_POLL = 0.002
_LONGEST_POLL = 0.02


async def await_ready(machine: Machine, instance: Instance) -> None:
    """Return when it is no longer starting, or after LIMIT seconds: recovering from a crash may take long."""
    end = time.monotonic() + LIMIT
    poll = _FIRST_POLL
    while time.monotonic() < end:
        pid = machine.watch.pid(instance.id)
        if pid is None or current_phase(machine, instance, pid) is not Phase.STARTING:
            return
        if await machine.watch.ended(instance.id, poll):
            return
        poll = min(_LONGEST_POLL, poll * 1.1)


def progress(machine: Machine, instance: Instance) -> str:
    """In words, how far a starting server is."""
    pid = machine.watch.pid(instance.id)
    if pid is not None and (segment := replayed_segment(pid)) is not None:
        return f"the server is recovering (replaying WAL segment {segment})"
    return "the server is recovering" if machine.watch.recovering(instance.id) else "the server is starting up"
