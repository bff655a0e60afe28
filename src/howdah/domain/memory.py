"""The memory of servers that have theirs for themselves: no more is promised than there is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from howdah.domain.catalog import Size
from howdah.domain.errors import Conflict


class Profile(StrEnum):
    """What memory servers get: small buffers, so that hundreds run beside each other, or what their size says."""

    SHARED = "shared"
    DEDICATED = "dedicated"


@dataclass(frozen=True, slots=True)
class Memory:
    """GiB. total: what servers may have together. used: what the sizes of all of them sum up to. deleting: of these,
    services that are still being deleted."""

    total_gib: int
    used_gib: int
    deleting_gib: int = 0

    @property
    def free_gib(self) -> int:
        """Not below 0: the operator may have lowered the total."""
        return max(0, self.total_gib - self.used_gib)


def check_memory(memory: Memory, size: Size, *, servers: int, now_gib: int = 0) -> None:
    """Raises Conflict when there is no room for so many servers of ``size``, in place of those that have ``now_gib``.
    What takes no more than it has is never refused."""
    needed = size.memory_gib * servers
    free = max(0, memory.total_gib - memory.used_gib + now_gib)
    if needed <= max(free, now_gib):
        return
    each = "" if servers == 1 else f", {size.memory_gib} for each of {servers} servers"
    going = f" ({memory.deleting_gib} more when the services that are being deleted are gone)"
    raise Conflict(
        f"size {size.name} takes {needed} GiB of memory{each}: of the {memory.total_gib} GiB that servers may have on"
        f" this machine {free} are free{going if memory.deleting_gib else ''}; ask for a smaller size or fewer"
        " standbys, or delete a service"
    )
