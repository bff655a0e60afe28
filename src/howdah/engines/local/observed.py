"""What one look at an instance shows. Plain values: the planner and its tests build them freely."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from howdah.domain.instances import Instance


class Phase(Enum):
    """What a running server says of itself in line 8 of its postmaster.pid."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Running:
    """A running server. ``restart``: the restart counter it was started with, None when unreadable.
    ``configuration``: the digest of the files that it has in effect. ``suspended``: stopped by a signal.
    ``standing_by``: it lets clients read, and follows another. ``upstream``: whom it was started to follow, None when
    that is nobody. ``connections``: how many it was started for.
    """

    pid: int
    started: int
    phase: Phase
    port: int
    restart: int | None
    configuration: str | None
    suspended: bool = False
    standing_by: bool = False
    upstream: str | None = None
    connections: int = 0


@dataclass(frozen=True, slots=True)
class Observed:
    """One instance, or that there is none yet.

    initialised: our own record, outside of the data directory, that it has been seeded.
    configuration: the digest of the files on disk, None when one is missing.
    port_free: nothing listens on its port (only looked at while it does not run).
    archived_wal: WAL that its first start replays, or has replayed, lies in its data directory.
    password_version: the last one that was set, None when none was.
    recovery: where the recovery of its first start ends, see record.py.
    answering: the probe found it alive, or has not judged yet.
    wait: seconds before another start may be tried. exit: in words, how it last ended unasked.
    crashes: how often it recovered from the crash of one of its processes, of late. failed_starts: how many servers in
    a row ended with an error before they let clients in. damage: in words, what of its data directory is gone while it
    runs.
    """

    instance: Instance | None
    initialised: bool = False
    data: bool = False
    configuration: str | None = None
    running: Running | None = None
    port_free: bool = True
    password_version: int | None = None
    recovery: str | None = None
    answering: bool = True
    wait: float = 0.0
    exit: str | None = None
    archived_wal: bool = False
    crashes: int = 0
    failed_starts: int = 0
    damage: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the planner compares with: counters of the spec, and the digest of the files that it asks for.
    restored: it begins with what an archive has, not empty. upstream: whom a standby is to follow, None for a primary.
    ran: as in ``ServiceSpec``; of a primary.
    """

    restart: int
    password_version: int
    configuration: str
    restored: bool = False
    upstream: str | None = None
    connections: int = 0
    ran: bool = False
