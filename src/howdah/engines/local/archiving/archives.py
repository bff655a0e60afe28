"""The archiving of all services of this machine: a line for each, found again at the next start."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import count
from weakref import WeakValueDictionary

import structlog

from howdah.backup.archive import Archive, open_archive
from howdah.backup.assemble import contents
from howdah.backup.errors import ForeignError, StoreError
from howdah.backup.restorable import Contents, broken, plan, window
from howdah.domain.backups import ArchiveStatus, BaseBackup
from howdah.domain.ids import ServiceId, TimelineId
from howdah.domain.moments import text
from howdah.domain.services import ServiceSpec
from howdah.domain.settings import BackupSettings
from howdah.engines.local.archiving.backing_up import Shared
from howdah.engines.local.archiving.collector import Collector
from howdah.engines.local.archiving.line import Line
from howdah.engines.local.archiving.received import Received
from howdah.engines.local.archiving.receiver import find_receivers
from howdah.engines.local.archiving.receiving import Serving
from howdah.engines.local.archiving.spool import Spool, is_full
from howdah.engines.local.archiving.whole import run_whole
from howdah.launcher.layout import Layout

COLLECTING = 4
"""How many lines put WAL into the archive at the same time."""

TICK = 1.0
REMOTE_TICK = 5.0
"""Seconds between two looks whether something was received: in a directory, and in a store where each costs money."""

CLOSE_TICKS = 10
"""So many of them until the next close look."""

CLAIM_SECONDS = 600.0
"""How long after a start a receiver that runs may belong to a service that has not been looked at yet."""

KNOWN = "archive.place"
"""In the state directory: which directory the archive was."""

CHECK_SECONDS = 2.0
"""How long a question may wait for what is on its way to the archive."""


_log = structlog.get_logger()


class Archives:
    """``changed``: called when what can be restored of a service has changed. Opening raises SetupError."""

    def __init__(self, settings: BackupSettings, layout: Layout, changed: Callable[[ServiceId], None]) -> None:
        self._archive = open_archive(settings, layout.state)
        try:
            self._archive.claim(layout.state / KNOWN)
        except (StoreError, OSError) as error:
            _log.warning("the archive's directory would not be missed if it were gone", reason=str(error))
        self._spools = layout.spool
        self._changed = changed
        self._lines: dict[TimelineId, Line] = {}
        self._shared = Shared(settings, asyncio.Semaphore(COLLECTING), asyncio.Semaphore(settings.parallel))
        self._found = find_receivers(self._spools)
        self._turns: WeakValueDictionary[TimelineId, asyncio.Lock] = WeakValueDictionary()
        self._ticking: asyncio.Task[None] | None = None

    @property
    def archive(self) -> Archive:
        return self._archive

    def start(self, readers: Sequence[Callable[[TimelineId], bool]]) -> None:
        """``readers``: each says whether it makes something from a timeline now."""
        self._shared.is_read = lambda timeline: any(reads(timeline) for reads in readers)
        self._ticking = asyncio.create_task(self._tick())

    async def close(self) -> None:
        """Stop following; receivers go on."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        await asyncio.gather(*(line.close() for line in self._lines.values()))

    def follow(self, spec: ServiceSpec, serving: Serving | None) -> Line | None:
        """Archive a service, and say how its server is; None for one that is not archived."""
        if spec.timeline is None:
            return None
        line = self._lines.get(spec.timeline)
        if line is None:
            if serving is None and not self.spool(spec.timeline).wal.is_dir():
                return None
            line = self._lines[spec.timeline] = self._new_line(spec, spec.timeline)
            line.start()
        line.upkeep.retention = self._retention(spec)
        line.serve(serving)
        return line

    def line(self, timeline: TimelineId) -> Line | None:
        return self._lines.get(timeline)

    def received(self, service: ServiceId) -> Received | None:
        """What has come from its server; None of a service that is not archived."""
        line = next((one for one in self._lines.values() if one.facts["service"] == service.ubid), None)
        return None if line is None else line.received()

    def observe(self, service: ServiceId, flushed: int, received: int | None) -> None:
        """As ``Line.observe``."""
        for line in self._lines.values():
            if line.facts["service"] == service.ubid and line.sends_itself:
                line.observe(flushed, received)

    def timelines(self) -> list[TimelineId]:
        """Those that are archived now."""
        return list(self._lines)

    async def bases(self, timeline: TimelineId) -> list[BaseBackup]:
        """Those that count, oldest first. Raises StoreError, DamageError."""
        line = self._lines.get(timeline)
        if line is not None and line.backing_up.bases:
            return list(line.backing_up.bases)
        return await asyncio.to_thread(self._archive.timeline(timeline).bases)

    async def check(self, timeline: TimelineId, target: datetime | None) -> None:
        """Raises NotRestorableError, DamageError, StoreError when a restoration to ``target`` could not succeed."""
        line = self._lines.get(timeline)
        if line is not None and not await line.catch_up(CHECK_SECONDS) and line.serves:
            known = await line.known_until()
            if target is None or known is None or target > known:
                raise late(line, known)
        archive = self._archive.timeline(timeline)
        await asyncio.to_thread(lambda: plan(contents(archive), target))

    async def status(self, timeline: TimelineId) -> ArchiveStatus:
        """Raises StoreError, DamageError."""
        archive = self._archive.timeline(timeline)
        there = await asyncio.to_thread(contents, archive)
        if broken(there) is not None:
            # What is put while it is listed may be missing in the list.
            there = await asyncio.to_thread(contents, archive)
        hole = broken(there)
        line, spool = self._lines.get(timeline), self.spool(timeline)
        archived = line.archived if line is not None else None
        late_bytes, late_seconds = await line.late() if line is not None else (0, 0.0)
        waiting = await asyncio.to_thread(spool.waiting)
        lag = await asyncio.to_thread(_lag, spool, there)
        return ArchiveStatus(
            bases=tuple(line.backing_up.bases if line is not None and line.backing_up.bases else there.bases),
            window=window(there),
            broken=hole.reason if hole is not None else None,
            under_way=line.backing_up.began if line is not None else None,
            problem=line.problem if line is not None else None,
            waiting_bytes=late_bytes + await asyncio.to_thread(spool.missing, waiting, archived),
            lag_seconds=max(lag, late_seconds),
            spool_bytes=waiting.size,
            stored_bytes=sum(one.stored_bytes for one in there.wal) + sum(base.stored_bytes for base in there.bases),
        )

    def spool(self, timeline: TimelineId) -> Spool:
        return Spool(self._spools / timeline.ubid)

    def expect_end(self, timeline: TimelineId) -> None:
        """The service is being removed."""
        if (line := self._lines.get(timeline)) is not None:
            line.expect_end()

    async def end(self, timeline: TimelineId) -> None:
        """Stop archiving a service whose server has ended for good."""
        await self._end_receiving(timeline)
        self._lines.pop(timeline, None)

    async def keep(self, timeline: TimelineId) -> None:
        """Have the archive alone hold all that came from a service whose server has ended for good. Cheap where that is
        so. Raises StoreError, OSError; what is not there yet stays in the spool then: call it again."""
        async with self._turn(timeline):
            spool, line = self.spool(timeline), self._lines.get(timeline)
            await self._end_receiving(timeline)
            with contextlib.suppress(ForeignError):
                if line is not None:
                    await line.collect()
                elif spool.wal.is_dir():
                    async with self._shared.collecting:
                        await run_whole(Collector(spool, self._archive.timeline(timeline)).collect)
            await asyncio.to_thread(spool.remove)
            self._lines.pop(timeline, None)

    def _turn(self, timeline: TimelineId) -> asyncio.Lock:
        """Held by whoever puts the last of it into the archive, or deletes it there."""
        return self._turns.setdefault(timeline, asyncio.Lock())

    async def _end_receiving(self, timeline: TimelineId) -> None:
        if (line := self._lines.get(timeline)) is not None:
            await line.end()
        if (left := self._found.pop(self.spool(timeline).home, None)) is not None:
            left.signal(signal.SIGKILL)
            left.close()

    async def forget(self, timeline: TimelineId) -> None:
        """Delete everything of it. Raises StoreError, OSError; some may be left then: call it again."""
        async with self._turn(timeline):
            await self.end(timeline)
            await asyncio.to_thread(self.spool(timeline).remove)
            await asyncio.to_thread(self._archive.timeline(timeline).remove)

    def _new_line(self, spec: ServiceSpec, timeline: TimelineId) -> Line:
        spool = self.spool(timeline)
        return Line(
            archive=self._archive.timeline(timeline),
            spool=spool,
            shared=self._shared,
            facts={"service": spec.id.ubid, "hostname": spec.hostnames[0], "postgres": spec.postgres_version},
            changed=lambda: self._changed(spec.id),
            retention=self._retention(spec),
            found=self._found.pop(spool.home, None),
        )

    def _retention(self, spec: ServiceSpec) -> timedelta:
        days = self._shared.settings.retention_days if spec.retention_days is None else spec.retention_days
        return timedelta(days=days)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in count():
            await asyncio.sleep(REMOTE_TICK if self._archive.remote else TICK)
            if self._found and loop.time() - began > CLAIM_SECONDS:
                self._end_unclaimed()
            full = is_full(self._spools)
            for line in self._lines.values():
                line.look(full=full, closely=number % CLOSE_TICKS == 0)

    def _end_unclaimed(self) -> None:
        """Of services that the store does not know, after an older one was restored: nobody collects from it."""
        while self._found:
            home, receiver = self._found.popitem()
            _log.warning("a receiver belongs to no known service; it is ended", spool=str(home))
            receiver.signal(signal.SIGINT)
            receiver.close()


def _lag(spool: Spool, there: Contents) -> float:
    """Seconds by which the newest WAL in the spool is newer than that in the archive, which keeps the times of files; a
    store elsewhere says when it got them, so that there only what waits for long is seen."""
    newest = spool.newest_at()
    last = there.wal[-1].modified if there.wal else None
    return 0.0 if newest is None or last is None else max(0.0, (newest - last).total_seconds())


def late(line: Line, known: datetime | None) -> StoreError:
    """What its server has committed has not reached the archive, so that nobody knows what is missing."""
    until = "nothing yet" if known is None else f"everything until {text(known)}"
    why = f" ({line.problem})" if line.problem is not None else ""
    return StoreError(f"the archive has {until}, and what was committed since is late{why}; try again later")
