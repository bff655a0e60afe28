"""Single servers of the model: what the store says of them, what lies on their disks, and the processes that run."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance, Role

SERVICE = ServiceId.new()
_FIRST = InstanceId.new().uuid.int

Config = tuple[bool, frozenset[int]]
"""Whether commits wait, and for whom, by number."""


def identifier(number: int) -> InstanceId:
    """In the order of their numbers, always the same within a run."""
    return InstanceId(uuid.UUID(int=(_FIRST >> 62 << 62) + number))


@dataclass
class Process:
    """``following``: it was started as a standby. ``leads``: it takes writes. ``suspended``: its postmaster."""

    pid: int
    following: bool
    config: Config
    ready: bool = False
    leads: bool = False
    suspended: bool = False
    hangs: bool = False


@dataclass
class Server:
    """``registered``: as the store has it, None when it is forgotten. ``timelines``: each with the LSN at which it
    begins. ``newest``: the last one whose history lies in its WAL directory: a standby goes where that leads.
    ``died``: it ended and nobody had asked for it, as the control plane remembers. ``led``: its last process was no
    standby, as its control file says."""

    number: int
    registered: Instance | None
    initialised: bool = False
    data: bool = False
    wal: tuple[int, ...] = ()
    timelines: tuple[tuple[int, int], ...] = ((1, 0),)
    newest: int = 1
    file: Config | None = None
    process: Process | None = None
    died: bool = False
    led: bool = False

    @property
    def writes(self) -> bool:
        return self.process is not None and self.process.leads

    def role(self) -> Role | None:
        return self.registered.role if self.registered is not None else None
