"""What the processes of a server take, as the kernel says.

A control group would say it better; most machines give us none. What a process has used is added to its parent when it
ends, so that the postmaster's own count and those of its children that live make the whole.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace

from howdah.domain.ids import InstanceId
from howdah.domain.metrics import Usage
from howdah.launcher.processes import children, cpu_ticks, memory_of

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Seen:
    pid: int
    usage: Usage


class Usages:
    """Remembers the last count of each server: one that a child's end has taken from the sum for a moment would look
    like a server that was started anew."""

    def __init__(self) -> None:
        self._seen: dict[InstanceId, _Seen] = {}

    def of(self, instance: InstanceId, pid: int) -> Usage | None:
        """Of the server with that postmaster; None when it is gone. Blocks, well under a millisecond."""
        try:
            usage = _measure(pid)
        except OSError:
            self._seen.pop(instance, None)
            return None
        before = self._seen.get(instance)
        if before is not None and before.pid == pid:
            usage = replace(
                usage,
                user_seconds=max(usage.user_seconds, before.usage.user_seconds),
                system_seconds=max(usage.system_seconds, before.usage.system_seconds),
            )
        self._seen[instance] = _Seen(pid, usage)
        return usage

    def forget(self, instance: InstanceId) -> None:
        self._seen.pop(instance, None)


def _measure(pid: int) -> Usage:
    """Raises OSError."""
    # The postmaster first: a child that ends meanwhile is missed, not counted twice.
    postmaster = cpu_ticks(pid)
    user, system = postmaster.user, postmaster.system
    own, shared = memory_of(pid)
    for child in children(pid):
        try:
            ticks = cpu_ticks(child)
            memory = memory_of(child)
        except OSError:
            continue
        user, system = user + ticks.user, system + ticks.system
        own, shared = own + memory[0], max(shared, memory[1])
    running = time.clock_gettime(time.CLOCK_BOOTTIME) - postmaster.started / _TICKS
    return Usage(user / _TICKS, system / _TICKS, max(0.0, running), own, shared)
