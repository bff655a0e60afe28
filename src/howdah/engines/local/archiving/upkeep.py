"""What is looked after in the archive of one service from time to time: what is missing is shown, what is old goes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from howdah.backup.archive import TimelineArchive
from howdah.backup.assemble import contents
from howdah.backup.restorable import broken
from howdah.backup.retention import Expendable, expendable
from howdah.domain.backups import Gap
from howdah.engines.local.archiving.backing_up import Shared
from howdah.engines.local.archiving.collector import Collector
from howdah.engines.local.archiving.whole import run_whole

FIRST_SECONDS, EVERY_SECONDS = 600, 3600
"""Until the first look, spread over the fleet by as much again, and between two looks."""

JUMP_SECONDS = 3600.0
"""A clock that is so much further ahead than the time that went by has been changed."""

_log = structlog.get_logger()


@dataclass(slots=True)
class Upkeep:
    """``collecting``: held by whoever uses ``collector``. retention: for how long moments can be restored."""

    archive: TimelineArchive
    collector: Collector
    collecting: asyncio.Lock
    shared: Shared
    retention: timedelta
    _due: float = field(init=False)
    _clock: float = field(init=False)

    def __post_init__(self) -> None:
        self._due = time.monotonic() + FIRST_SECONDS + self.archive.id.uuid.int % (FIRST_SECONDS or 1)
        self._clock = _clock()

    @property
    def wait(self) -> float:
        """Seconds until the next look."""
        return self._due - time.monotonic()

    async def look(self, under_way: datetime | None) -> Expendable:
        """What was deleted; nothing when it was not time. ``under_way``: since when a base backup is being taken.

        Raises StoreError, DamageError.
        """
        if self.wait > 0:
            return Expendable()
        self._due = time.monotonic() + EVERY_SECONDS
        async with self.collecting, self.shared.collecting:
            if not self.collector.gap_open and (gap := await run_whole(_broken, self.archive)) is not None:
                _log.error("WAL is missing in the archive", timeline=self.archive.id.ubid, reason=gap.reason)
                await run_whole(self.collector.open_gap, gap)
        if self.shared.is_read(self.archive.id) or self._has_jumped():
            return Expendable()
        async with self.shared.collecting:
            return await run_whole(_forget, self.archive, datetime.now(UTC) - self.retention, under_way)

    def _has_jumped(self) -> bool:
        """All would be old by a clock that was set to next year, and gone before it is right again."""
        ahead = _clock() - self._clock
        if ahead > JUMP_SECONDS:
            _log.error(
                "the clock was set ahead; no backup is deleted before it is right again, or Howdah is started again",
                timeline=self.archive.id.ubid,
                hours=round(ahead / 3600, 1),
            )
        return ahead > JUMP_SECONDS


def _clock() -> float:
    """What the clock says beyond the time that went by."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _broken(archive: TimelineArchive) -> Gap | None:
    return broken(contents(archive))


def _forget(archive: TimelineArchive, keep_from: datetime, under_way: datetime | None) -> Expendable:
    old = expendable(contents(archive), keep_from)
    archive.forget(old)
    archive.forget_unfinished(since=under_way)
    return old
