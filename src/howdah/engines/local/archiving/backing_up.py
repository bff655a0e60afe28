"""The base backups of one timeline: each taken when it is due, and tried until there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from howdah.backup.archive import TimelineArchive
from howdah.domain.backups import NO_BASE, BaseBackup
from howdah.domain.drills import DrillResult
from howdah.domain.errors import HowdahError
from howdah.domain.ids import TimelineId
from howdah.domain.settings import BackupSettings
from howdah.engines.local.archiving.base import Source, take_base
from howdah.engines.local.archiving.collector import Collector
from howdah.engines.local.archiving.receiving import Serving
from howdah.engines.local.archiving.schedule import Due, next_backup
from howdah.engines.local.archiving.whole import run_whole

_GIB = 1 << 30
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 3600.0

_log = structlog.get_logger()


@dataclass(slots=True)
class Shared:
    """What all lines share: how much is done at the same time. ``is_read``: whether something is made from a timeline
    now, so that nothing of it may go."""

    settings: BackupSettings
    collecting: asyncio.Semaphore
    backing_up: asyncio.Semaphore
    is_read: Callable[[TimelineId], bool] = lambda _: False


@dataclass(slots=True)
class BackingUp:
    """``collecting``: held by whoever uses ``collector``. ``changed``: called with each new one, which counts then, and
    when one is due all of a sudden.

    serving: the server; None while there is none that lets clients in. bases: those that count, oldest first.
    began: when the one that is being taken began. problem: why the last one failed, in words.
    """

    archive: TimelineArchive
    collector: Collector
    collecting: asyncio.Lock
    shared: Shared
    changed: Callable[[], None]
    serving: Serving | None = None
    bases: Sequence[BaseBackup] = ()
    began: datetime | None = None
    problem: str | None = None
    _drill: DrillResult | None = None
    _task: asyncio.Task[None] | None = None

    def keep(self) -> float:
        """Begin the next one when it is due; returns the seconds until then."""
        due, now = self._due(), datetime.now(UTC)
        if due is None or (self._task is not None and not self._task.done()):
            return _LONGEST_WAIT
        if due.at <= now:
            self._task = asyncio.create_task(self._back_up(), name=f"base backup {self.archive.id}")
            return _LONGEST_WAIT
        return min(_LONGEST_WAIT, (due.at - now).total_seconds())

    def see(self, drill: DrillResult | None) -> None:
        """The last drill; called as often as you like."""
        before, self._drill = self._drill, drill
        if drill is not None and drill != before and not drill.is_mended(self.bases, datetime.now(UTC)):
            _log.warning(
                "what is archived cannot be restored: a full base backup is due", timeline=self.archive.id.ubid
            )
            self.changed()

    async def close(self) -> None:
        """End the one that is being taken; nothing of it counts."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _due(self) -> Due | None:
        if self.serving is None:
            return None
        settings = self.shared.settings
        return next_backup(
            self.archive.id,
            self.bases,
            interval=timedelta(hours=settings.interval_hours),
            chain=settings.chain,
            asked=self.serving.asked,
            gap_open=self.collector.gap_open,
            drill=self._drill,
            now=datetime.now(UTC),
        )

    async def _back_up(self) -> None:
        wait, full = _FIRST_WAIT, False
        while True:
            async with self.shared.backing_up:
                due, serving = self._due(), self.serving
                if due is None or serving is None:
                    return
                if await self._try(serving, None if full else due.parent):
                    return
            # An incremental one is refused where WAL summaries are missing, or nothing was written since.
            if due.parent is not None and not full:
                full = True
                continue
            await asyncio.sleep(wait)
            wait = min(_LONGEST_WAIT, wait * 2)

    async def _try(self, serving: Serving, parent: BaseBackup | None) -> bool:
        self.began = datetime.now(UTC)
        try:
            taken = await self._take(serving, parent)
        except Exception as error:  # noqa: BLE001
            # Whatever it is: a service whose backups have ended for good would look fine.
            self.problem = f"{NO_BASE}: {in_words(error)}"
            _log.warning("a base backup failed", timeline=self.archive.id.ubid, reason=self.problem)
            return False
        finally:
            self.began = None
        self.problem = None
        self.bases = [*self.bases, taken]
        _log.info("base backup taken", timeline=self.archive.id.ubid, name=taken.name, bytes=taken.stored_bytes)
        self.changed()
        return True

    async def _take(self, serving: Serving, parent: BaseBackup | None) -> BaseBackup:
        began_in_gap = self.collector.gap_open
        source = Source(
            binaries=serving.binaries,
            sockets=serving.sockets,
            port=serving.port,
            pid=serving.process.pid,
            rate_mib=self.shared.settings.rate_mib,
            # What does not fit into its storage is none of its data.
            largest=(serving.storage_gib + 1) * _GIB,
        )
        taken = await take_base(source, self.collector.spool, self.archive, parent, request=serving.asked)
        if began_in_gap:
            async with self.collecting:
                await run_whole(self.collector.close_gaps, taken.finished_at)
        return taken


def in_words(error: Exception) -> str:
    """For who reads of a problem; a defect of ours is logged with its traceback."""
    if isinstance(error, HowdahError | OSError):
        return str(error)
    _log.error("a defect of archiving", exc_info=error)
    return f"a defect: {error!r}"
