"""Drills: a service's latest backup, restored where nobody uses it, and what was found in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from howdah.domain.backups import BackupKind, BaseBackup
from howdah.domain.ids import TimelineId


@dataclass(frozen=True, slots=True)
class ComparedTable:
    """A table that was counted in the running service before and after what was restored, and in what was restored.

    table: with its schema. least, most: rows that it can have had at the moment that was restored.
    """

    database: str
    table: str
    restored: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class DrillResult:
    """What a drill found. Times are UTC; ``started_at`` names it.

    chain: the base backups that were restored, the full one first. lsn, until: the last WAL record that was replayed,
    and when the last transaction in it ended; None when it did not come so far, or none had ended since the base
    backup. data_bytes: of the restored data directory. checksums: whether the checksum of every page was checked.
    relations: tables and indexes that were checked. not_compared: why there are no tables, in words; None where there
    are some. problems: each in words; none when all is well. needs_base: whether they are the archive's own (what is
    there cannot be restored, or lacks something), so that a full base backup mends them.
    """

    started_at: datetime
    finished_at: datetime
    chain: tuple[str, ...] = ()
    lsn: str | None = None
    until: datetime | None = None
    data_bytes: int = 0
    checksums: bool = False
    relations: int = 0
    tables: tuple[ComparedTable, ...] = ()
    problems: tuple[str, ...] = ()
    not_compared: str | None = None
    needs_base: bool = False

    @property
    def ok(self) -> bool:
        return not self.problems

    def is_mended(self, bases: Sequence[BaseBackup], now: datetime) -> bool:
        """Whether a full one of ``bases`` was begun since, or none is needed. What claims to be later than now, because
        the clock was changed, says nothing."""
        full = (base.started_at for base in bases if base.kind is BackupKind.FULL)
        needed = self.needs_base and self.finished_at <= now
        return not needed or any(self.finished_at <= began <= now for began in full)


@dataclass(frozen=True, slots=True)
class DrillProgress:
    """One that is under way. ``done``: from 0 to 1. ``problem``: why it could not be done so far; it is tried again."""

    started_at: datetime
    doing: str
    done: float
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Drilled:
    """The drills of one timeline. results: newest first. next_at: when the schedule has the next one; None: never."""

    results: tuple[DrillResult, ...] = ()
    under_way: DrillProgress | None = None
    next_at: datetime | None = None


class DrillJournal(Protocol):
    """Who is told what drills found."""

    async def ended(self, timeline: TimelineId, result: DrillResult) -> None: ...
