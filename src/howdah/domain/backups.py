"""Backups in an archive, and what can be restored from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from howdah.domain.errors import BadRequest

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


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


def parse_target(text: str) -> datetime:
    """The moment, in UTC, to which to restore: RFC 3339, no finer than the microseconds that Postgres knows.

    Raises BadRequest.
    """
    try:
        if _RFC_3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BadRequest(
        f"restore target {text[:60]!a} is no moment; it must be like 2026-11-25T09:30:00Z or"
        " 2026-11-25T10:30:00.250000+01:00, with at most six digits of a second, or latest"
    )
