"""The drills of this machine's services: by the schedule and when asked for, a few at a time, each until it is done."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from howdah.backup.confined import can_confine
from howdah.backup.errors import BackupError, NotRestorableError
from howdah.backup.programs import Programs
from howdah.domain.drills import Drilled, DrillJournal, DrillProgress, DrillResult
from howdah.domain.errors import HowdahError, Unavailable
from howdah.domain.ids import TimelineId
from howdah.domain.settings import BackupSettings
from howdah.domain.states import PostgresVersion
from howdah.engines.local.archiving.archives import Archives
from howdah.engines.local.archiving.whole import run_whole
from howdah.engines.local.binaries import Binaries
from howdah.engines.local.drills.drill import Drill
from howdah.engines.local.drills.schedule import next_drill
from howdah.engines.local.drills.server import Place

DIRECTORY = "drills"
"""Where they are done, in the directory of the pool."""

TICK = 10.0
FIRST_WAIT, LONGEST_WAIT = 60.0, 6 * 3600.0
"""Seconds until one that could not be done is tried again."""

_ABANDON_SECONDS, _ENDING_SECONDS = 1.0, 0.1
_UNCONFINED = (
    "drills need a kernel with Landlock (5.13 or later, not switched off): without it what tenants wrote would run with"
    " all rights of the control plane"
)
_log = structlog.get_logger()


class _AbandonedError(Exception):
    """Nobody wants it any more."""


@dataclass(slots=True)
class _Work:
    """``asked``: somebody has asked for it since it failed. reading: the archive, now. ending: what it found is being
    stored; whoever asks now wants another one."""

    timeline: TimelineId
    started_at: datetime
    task: asyncio.Task[None] | None = None
    abandoned: threading.Event = field(default_factory=threading.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    doing: str = "waiting for its turn"
    done: float = 0.0
    problem: str | None = None
    reading: bool = False
    ending: bool = False

    def progress(self, doing: str, done: float) -> None:
        self.doing, self.done = doing, done
        if self.abandoned.is_set():
            raise _AbandonedError


class Drills:
    """``pool``: a directory on the file system of the services. ``journal``: None where nobody is to be told."""

    def __init__(
        self,
        archives: Archives,
        pool: Path,
        binaries: Mapping[PostgresVersion, Binaries],
        settings: BackupSettings,
        journal: DrillJournal | None = None,
    ) -> None:
        self._archives = archives
        self._journal = journal
        self._directory = pool / DIRECTORY
        self._binaries = binaries
        self._interval = timedelta(days=settings.drill_interval_days)
        self._turns = asyncio.Semaphore(settings.drill_parallel)
        self._works: dict[TimelineId, _Work] = {}
        self._last: dict[TimelineId, DrillResult | None] = {}
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await asyncio.to_thread(self._tidy)
        if not can_confine():
            _log.warning("no drills are done", reason=_UNCONFINED)
        self._ticking = asyncio.create_task(self._tick(), name="drills")

    async def close(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        tasks = [self._end(work) for work in self._works.values()]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def begin(self, timeline: TimelineId) -> datetime:
        """Begin one, or have the one that is under way go on; when it began.

        Raises Unavailable where none can be done, NotRestorableError, StoreError, DamageError.
        """
        if not can_confine():
            raise Unavailable(_UNCONFINED)
        while (work := self._works.get(timeline)) is not None and work.ending and work.task is not None:
            await asyncio.wait([work.task], timeout=_ENDING_SECONDS)
        if work is None:
            if not await self._archives.bases(timeline):
                raise NotRestorableError("nothing can be restored yet: no base backup is completed")
            work = self._works.get(timeline) or self._begin(timeline)
        work.asked.set()
        return work.started_at

    async def status(self, timeline: TimelineId) -> Drilled:
        """Raises StoreError."""
        # In this order: one that ends meanwhile is not missed.
        work = self._works.get(timeline)
        results = await asyncio.to_thread(self._archives.archive.timeline(timeline).drills)
        under_way: DrillProgress | None = None
        if work is not None and all(result.started_at != work.started_at for result in results):
            under_way = DrillProgress(work.started_at, work.doing, work.done, work.problem)
        return Drilled(tuple(results), under_way, await self._next(timeline))

    def reads(self, timeline: TimelineId) -> bool:
        """Whether its backups are being read."""
        work = self._works.get(timeline)
        return work is not None and work.reading

    async def abandon(self, timeline: TimelineId) -> bool:
        """Whether none is under way any more, and nothing is left of it."""
        self._last.pop(timeline, None)
        if (work := self._works.get(timeline)) is None:
            return True
        await asyncio.wait([self._end(work)], timeout=_ABANDON_SECONDS)
        return timeline not in self._works

    def _end(self, work: _Work) -> asyncio.Task[None]:
        assert work.task is not None
        work.abandoned.set()
        work.task.cancel()
        return work.task

    def _tidy(self) -> None:
        """End and delete what a killed control plane left."""
        Place(self._directory).remove()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for timeline in self._archives.timelines():
                with contextlib.suppress(HowdahError, OSError):
                    await self._look(timeline)

    async def _look(self, timeline: TimelineId) -> None:
        if (line := self._archives.line(timeline)) is not None:
            line.backing_up.see(await self._newest(timeline))
        due = await self._next(timeline)
        if due is not None and due <= datetime.now(UTC) and timeline not in self._works:
            self._begin(timeline)

    async def _newest(self, timeline: TimelineId) -> DrillResult | None:
        """The last one that does not claim to be later than now: the clock may have been changed. Raises StoreError."""
        now, last = datetime.now(UTC), self._last.get(timeline)
        if timeline not in self._last or (last is not None and last.started_at > now):
            archive = self._archives.archive.timeline(timeline)
            last = self._last[timeline] = await asyncio.to_thread(archive.newest_drill, now)
        return last

    async def _next(self, timeline: TimelineId) -> datetime | None:
        """When the schedule has its next one. Raises StoreError."""
        line = self._archives.line(timeline)
        if line is None or not line.backing_up.bases or not can_confine():
            return None
        last = await self._newest(timeline)
        since = line.backing_up.bases[0].finished_at if last is None else last.started_at
        return next_drill(timeline, since, self._interval, datetime.now(UTC))

    def _begin(self, timeline: TimelineId) -> _Work:
        now = datetime.now(UTC)
        # Its name in the API has milliseconds.
        work = _Work(timeline, now.replace(microsecond=now.microsecond // 1000 * 1000))
        self._works[timeline] = work
        work.task = asyncio.create_task(self._until_done(work), name=f"drill {timeline}")
        return work

    async def _until_done(self, work: _Work) -> None:
        wait = FIRST_WAIT
        try:
            while not await self._try(work):
                work.doing, work.done = "waiting to be tried again", 0.0
                work.asked.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await work.asked.wait()
                wait = min(LONGEST_WAIT, wait * 2)
        finally:
            self._works.pop(work.timeline, None)

    async def _try(self, work: _Work) -> bool:
        work.doing = "waiting for its turn"
        try:
            async with self._turns:
                work.reading = True
                result = await self._drill(work)
            if self._journal is not None:
                await self._journal.ended(work.timeline, result)
            # Last: what is not in the archive is done again, and what was found is told again.
            work.ending = True
            await run_whole(self._archives.archive.timeline(work.timeline).put_drill, result)
        except _AbandonedError:
            return True
        except Exception as error:  # noqa: BLE001
            # Whatever it is: drills that have ended for good would look fine.
            if not isinstance(error, HowdahError | OSError):
                _log.error("a defect of drills", exc_info=error)
            work.problem = str(error) if isinstance(error, HowdahError | OSError) else f"a defect: {error!r}"
            _log.warning("a drill could not be done", timeline=work.timeline.ubid, reason=work.problem)
            return False
        finally:
            work.reading = work.ending = False
        self._last[work.timeline] = result
        if (line := self._archives.line(work.timeline)) is not None:
            line.backing_up.see(result)
        _say(work.timeline, result)
        return True

    async def _drill(self, work: _Work) -> DrillResult:
        bases = await self._archives.bases(work.timeline)
        if not bases:
            raise BackupError("no base backup is completed")
        major = bases[-1].postgres.partition(".")[0]
        binaries = next((found for version, found in self._binaries.items() if version == major), None)
        if binaries is None:
            raise BackupError(f"there are no programs of Postgres {major} here")
        programs = Programs(binaries.root / "bin", binaries.environment)
        place = Place(self._directory / work.timeline.ubid)
        await run_whole(place.remove)
        self._directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        return await Drill(self._archives, work.timeline, programs, place, work.progress).run(work.started_at)


def _say(timeline: TimelineId, result: DrillResult) -> None:
    facts = {"timeline": timeline.ubid, "bytes": result.data_bytes, "relations": result.relations}
    seconds = round((result.finished_at - result.started_at).total_seconds(), 1)
    if result.ok:
        _log.info("a drill went well", **facts, seconds=seconds)
    else:
        _log.error("a drill found problems", **facts, seconds=seconds, problems=list(result.problems))
