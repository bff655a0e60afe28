"""Desired state (what a user asked for) and observed state (what an engine saw) of one service."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from howdah.domain.backups import RestoreSource
from howdah.domain.catalog import Size
from howdah.domain.ids import ServiceId, TimelineId
from howdah.domain.states import HaType, PostgresVersion, ServiceState
from howdah.domain.tags import Tag


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """Everything a user can ask for. Commands are counters, so that none has to be remembered by an engine.

    hostnames: the names that reach the service, the current one first; the certificate is valid for all of them.
    certificate: PEM, the leaf first, then its issuer.
    restart: how often a restart was asked for. password_version: which password is wanted, counted from 1.
    timeline: its own line of backups and WAL; None: it is not archived. source: what it is restored from; None for one
    that begins empty. backup: how often a base backup was asked for, beside those of the schedule. retention_days: how
    long it can be restored to any moment; None: as the settings say. ran: it has been used, so that a data directory
    that is not there is missing.
    switchover: which change of its primary is asked for, counted from 1. accept_loss: for which one it was said that
    commits may be lost. follows: the service whose read replica it is. followers: its own read replicas.
    unconfirmed: an older store was put back, and what runs was not compared with it yet: until then all stays as it is.
    """

    id: ServiceId
    postgres_version: PostgresVersion
    size: Size
    ha_type: HaType
    hostnames: tuple[str, ...]
    certificate: str
    restart: int = 0
    password_version: int = 1
    timeline: TimelineId | None = None
    source: RestoreSource | None = None
    backup: int = 0
    retention_days: int | None = None
    switchover: int = 0
    accept_loss: int = 0
    follows: ServiceId | None = None
    followers: tuple[ServiceId, ...] = ()
    ran: bool = False
    unconfirmed: bool = False


@dataclass(frozen=True, slots=True)
class ServiceSecrets:
    """What an engine needs to know and nobody may read: the SCRAM verifier of ``postgres``, the TLS key (PEM), and the
    password with which standbys come to the primary: its own, or the one of the service that it follows."""

    password_verifier: str = field(repr=False)
    certificate_key: str = field(repr=False)
    replication_password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the router reaches a server: an address of this machine and a TCP port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What one pass of an engine saw and did.

    ready: a client can connect, with everything that ``spec`` asked for in effect but perhaps a new password.
    primary: where the primary listens or will listen; None until the engine has chosen.
    standbys: where the standbys that let clients in listen, whatever state the primary is in. One that is not named is
    taken from the read-only name's route, and its clients are disconnected.
    reason: why it is not ready, in words for the user; None when nothing is wrong.
    restart, password_version, certificate: which of the spec's values are in effect now (certificate: PEM).
    settled: nothing is left to do for this spec until something changes.
    retry_after: seconds after which another pass makes sense (back-off); None: at once unless settled.
    restoring: how far its restoration is (one of the three states of it); None when there is none, or it is over.
    earliest_restore: the first moment to which it can be restored (UTC); None while that is not known.
    moving: new clients wait until it is ready again: another server is about to become the primary, or has just become
    it.
    confirmed: of one that was not: what runs was compared with the store, which holds from now on. Until then
    ``primary`` and ``standbys`` say nothing.
    promoted: a read replica has been made independent, which the store has forgotten.
    """

    ready: bool
    settled: bool
    primary: Endpoint | None = None
    reason: str | None = None
    restart: int | None = None
    password_version: int | None = None
    certificate: str | None = None
    retry_after: float | None = None
    restoring: ServiceState | None = None
    earliest_restore: datetime | None = None
    standbys: tuple[Endpoint, ...] = ()
    moving: bool = False
    confirmed: bool = False
    promoted: bool = False


@dataclass(frozen=True, slots=True)
class NewService:
    """What a client asks for when it creates a service; not yet checked against the catalog."""

    name: str
    provider: str
    region: str
    size: str
    storage_gib: int | None = None
    postgres_version: PostgresVersion = PostgresVersion.V17
    ha_type: HaType = HaType.NONE
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """What a client asks to change; None means unchanged. Only ``name`` and ``tags`` can become something new; the
    rest is accepted when it equals the present value."""

    name: str | None = None
    tags: tuple[Tag, ...] | None = None
    size: str | None = None
    ha_type: HaType | None = None
    provider: str | None = None
    region: str | None = None
    storage_gib: int | None = None
    postgres_version: PostgresVersion | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A service as its organization sees it. earliest_restore: as in ``ServiceStatus``."""

    id: ServiceId
    organization: UUID
    name: str
    provider: str
    region: str
    size: Size
    storage_gib: int
    postgres_version: PostgresVersion
    ha_type: HaType
    tags: tuple[Tag, ...]
    hostname: str
    is_primary: bool
    state: ServiceState
    state_reason: str | None
    created_at: datetime
    password: str = field(repr=False)
    earliest_restore: datetime | None = None
