"""Backups in an archive, and what can be restored from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from howdah.domain.errors import BadRequest
from howdah.domain.ids import TimelineId
from howdah.domain.moments import parse_moment

NO_BASE = "no base backup can be taken"
"""With which the problem of an archive begins whose WAL goes on all the same."""

_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-(full|incremental)", re.ASCII)


class BackupKind(StrEnum):
    """A full copy, or what changed since the backup before it."""

    FULL = "full"
    INCREMENTAL = "incremental"


@dataclass(frozen=True, slots=True)
class BaseBackup:
    """One base backup in an archive. Times are UTC with microseconds.

    name: its place in the archive, in the order of time (``20261125T093000.000000Z-full``). parent: the name of the
    backup that an incremental one needs; None for a full one. postgres: the server's full version, such as 18.6.0.
    start_lsn, stop_lsn: in Postgres' spelling. wal_timeline: Postgres' timeline when it began. stored_bytes:
    compressed; data_bytes: as it was. files: SHA-256 (hex) of each stored file by its name. tablespaces: location by
    OID, of those outside of the data directory. request: as in ``ServiceSpec.backup``, that it answers.
    """

    name: str
    kind: BackupKind
    parent: str | None
    postgres: str
    system_identifier: int
    started_at: datetime
    finished_at: datetime
    start_lsn: str
    stop_lsn: str
    wal_timeline: int
    stored_bytes: int
    data_bytes: int
    files: dict[str, str]
    tablespaces: dict[str, str]
    request: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """WAL that is missing in an archive: no moment after ``since`` and before ``until`` can be restored.

    until: when the base backup that closes it was finished; None while none is.
    """

    since: datetime
    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Window:
    """What of a timeline can be restored: any moment from ``earliest`` to ``latest`` that is in none of ``gaps``."""

    earliest: datetime
    latest: datetime
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class ArchiveStatus:
    """How the archiving of one timeline is.

    window: None while nothing can be restored. under_way: when the base backup that is being taken began. problem: why
    it does not go on, in words. broken: why the latest moment cannot be restored. waiting_bytes: WAL that its server
    has written and is not there yet; lag_seconds: for how long it has been on its way, or how much newer the newest of
    it is than what the archive has. spool_bytes: what its spool takes on disk. stored_bytes: all that the archive has.
    """

    bases: tuple[BaseBackup, ...]
    window: Window | None
    under_way: datetime | None = None
    problem: str | None = None
    waiting_bytes: int = 0
    lag_seconds: float = 0.0
    spool_bytes: int = 0
    stored_bytes: int = 0
    broken: str | None = None


@dataclass(frozen=True, slots=True)
class RestoreSource:
    """What a service is made from: a timeline, at a moment (UTC, with microseconds) or, without one, at its end."""

    timeline: TimelineId
    target: datetime | None


def backup_name(started_at: datetime, kind: BackupKind) -> str:
    """Names sort as the times do."""
    return f"{started_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{kind}"


def is_backup_name(text: str) -> bool:
    """Whether a base backup could be called so."""
    return _NAME.fullmatch(text) is not None


def parse_target(text: str, called: str = "restore target") -> datetime:
    """The moment, in UTC, to which to restore. ``called``: what its user calls it. Raises BadRequest."""
    try:
        return parse_moment(text, called)
    except BadRequest as refused:
        raise BadRequest(f"{refused}, or latest") from None
