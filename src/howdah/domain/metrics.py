"""What is measured of a service at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from howdah.domain.health import Health
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.services import Service


@dataclass(frozen=True, slots=True)
class Usage:
    """What the processes of a server take, as the kernel says. user_seconds, system_seconds: of CPU since it was
    started, which is ``running_seconds`` ago. own_bytes: memory of each process alone; shared_bytes: what they share,
    which is Postgres' buffers above all."""

    user_seconds: float
    system_seconds: float
    running_seconds: float
    own_bytes: int
    shared_bytes: int


@dataclass(frozen=True, slots=True)
class Follower:
    """A server that follows a primary and is connected to it: a standby, or a read replica, which is a service of its
    own. lag_bytes: WAL that the primary has written and it has not replayed yet. lag_seconds: how long what it replayed
    last had been written by then, which is 0 where it has replayed everything."""

    service: ServiceId
    instance: InstanceId
    lag_bytes: int
    lag_seconds: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a server says of itself. Counters are those of all databases, since their statistics were begun.

    connections: of clients, by their state. reads, writes: operations on files, which the system may answer from its
    cache. databases: bytes of each by its name, the largest ones; None when measuring them took too long.
    wal_bytes: of its WAL directory. oldest_transaction: seconds since the oldest that is open began, prepared ones
    included; 0 without any. transactions_left: until Postgres refuses to write, because their numbers have run out.
    slots: bytes of WAL that each replication slot keeps. flushed, received: until where (LSN) it has its WAL durably,
    and the archive's receiver has it; None: of a server that follows another; no receiver is connected to it.
    """

    connections: Mapping[str, int]
    max_connections: int
    blocks_hit: int
    blocks_read: int
    reads: int
    writes: int
    fetched: int
    inserted: int
    updated: int
    deleted: int
    committed: int
    rolled_back: int
    deadlocks: int
    wal_bytes: int
    oldest_transaction: float
    transactions_left: int
    slots: Mapping[str, int]
    flushed: int | None = None
    received: int | None = None
    followers: tuple[Follower, ...] = ()
    databases: Mapping[str, int] | None = None
    stored_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ServerMetrics:
    """Of the server that a service's clients reach, a primary where there is one. None: it cannot be asked now."""

    usage: Usage | None = None
    statistics: Statistics | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that the router has brought from clients of a service to it, and from it to them."""

    received: int
    sent: int


@dataclass(frozen=True, slots=True)
class ServiceMetrics:
    """All that is measured of a service. followers: its standbys, or itself where it is a read replica. traffic: None
    while nobody counts. health: None while it is not known."""

    service: Service
    server: ServerMetrics
    followers: tuple[Follower, ...]
    traffic: Traffic | None
    health: Health | None
    at: datetime
