"""Backups in an archive, and what can be restored from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class BackupKind(StrEnum):
    """A full copy, or what changed since the backup before it."""

    FULL = "full"
    INCREMENTAL = "incremental"


@dataclass(frozen=True, slots=True)
class BaseBackup:
    """One base backup in an archive. Times are UTC with microseconds.

    name: its place in the archive, in the order of time (``20261125T093000Z-full``). parent: the name of the backup
    that an incremental one needs; None for a full one. postgres: the server's full version, such as 18.6.0.
    start_lsn, stop_lsn: in Postgres' spelling. wal_timeline: Postgres' timeline when it began. stored_bytes:
    compressed; data_bytes: as it was. files: SHA-256 (hex) of each stored file by its name. tablespaces: location by
    OID, of those outside of the data directory.
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
