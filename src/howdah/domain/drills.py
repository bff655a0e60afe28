"""Drills: a service's latest backup, restored where nobody uses it, and what was found in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

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
    are some. problems: each in words; none when all is well.
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

    @property
    def ok(self) -> bool:
        return not self.problems


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
