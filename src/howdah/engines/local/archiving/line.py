"""The archiving of one service: its receiver, what it has received on its way to the archive, its base backups."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from howdah.backup.archive import TimelineArchive
from howdah.backup.assemble import contents
from howdah.backup.programs import Programs
from howdah.backup.restorable import window
from howdah.backup.wal import Segment
from howdah.domain.backups import BaseBackup
from howdah.domain.errors import HowdahError
from howdah.domain.settings import BackupSettings
from howdah.engines.local.archiving.base import Source, take_base
from howdah.engines.local.archiving.collector import Collector
from howdah.engines.local.archiving.receiver import Receiver, start_receiver
from howdah.engines.local.archiving.schedule import Due, next_backup
from howdah.engines.local.archiving.slot import ensure_slot, flushed_until, has_until
from howdah.engines.local.archiving.spool import Spool
from howdah.engines.local.archiving.whole import run_whole
from howdah.engines.local.binaries import Binaries
from howdah.launcher.servers import Started

_GIB = 1 << 30
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0
_LONGEST_BASE_WAIT = 3600.0
_END_SECONDS = 5.0
_POLL = 0.02
_AGAIN = 0.2
_LONGEST_COMPLAINT = 1000
_GONE = "has already been removed"
"""What a receiver says when its server no longer has the WAL that it goes on from."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that lets clients in. ``storage_gib``: what it may store. ``asked``: as in ``ServiceSpec.backup``."""

    process: Started
    binaries: Binaries
    sockets: Path
    port: int
    storage_gib: int
    asked: int


@dataclass(slots=True)
class Shared:
    """What all lines share: how much is done at the same time."""

    settings: BackupSettings
    collecting: asyncio.Semaphore
    backing_up: asyncio.Semaphore


@dataclass(slots=True)
class Line:
    """``changed``: called when what can be restored has changed. ``facts``: whose archive it is, for who has nothing
    else. ``receiver``: one that was found running.

    problem: why it does not go on, in words; None while it does. earliest: the first moment that can be restored.
    """

    archive: TimelineArchive
    spool: Spool
    shared: Shared
    facts: dict[str, str]
    changed: Callable[[], None]
    receiver: Receiver | None = None
    problem: str | None = None
    earliest: datetime | None = None
    bases: Sequence[BaseBackup] = ()
    base_began: datetime | None = None
    base_problem: str | None = None

    _serving: Serving | None = None
    _against: Started | None = None
    _paused: bool = False
    _complains: str | None = None
    _ending: bool = False
    _restarts: int = 0
    _growing: Segment | None = None
    _mark: tuple[int, ...] = ()
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _collecting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _collector: Collector = field(init=False)
    _task: asyncio.Task[None] | None = None
    _base: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self._collector = Collector(self.spool, self.archive)

    # -- what others do with it

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"archive {self.archive.id}")

    def serve(self, serving: Serving | None) -> None:
        """The server as it is now; None while there is none that lets clients in."""
        if serving != self._serving:
            self._serving = serving
            if serving is not None:
                binaries = serving.binaries
                self._collector.programs = Programs(binaries.root / "bin", binaries.environment)
            self._woken.set()

    def expect_end(self) -> None:
        """Its server ends for good: nothing more is to be waited for."""
        self._ending = True
        self.serve(None)

    def look(self) -> None:
        """Go on when the receiver has written or said something, or has ended."""
        mark = self.spool.mark(self._growing)
        if mark != self._mark or (self.receiver is not None and self.receiver.ended):
            self._mark = mark
            self._woken.set()

    @property
    def serves(self) -> bool:
        """Whether it has a server that lets clients in."""
        return self._serving is not None

    async def catch_up(self, seconds: float) -> bool:
        """Have everything that its server has committed until now in the archive; whether that is so within
        ``seconds``. False too when no server says how much that is: then it is all that came from it.

        Raises StoreError, OSError.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        wanted: str | None = None
        while True:
            wanted = wanted or await self._flushed()
            complete = wanted is not None and await self._has(wanted)
            if complete or self._ending or asyncio.get_running_loop().time() > deadline:
                await self._collect()
                return complete
            await asyncio.sleep(_POLL)

    async def known_until(self) -> datetime | None:
        """The last moment of which is known that the archive has all until then. Raises StoreError, OSError."""
        async with self._collecting:
            return await run_whole(self._collector.known_until)

    async def close(self) -> None:
        """Stop following; the receiver goes on."""
        tasks = [task for task in (self._base, self._task) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._base = self._task = None
        if self.receiver is not None:
            self.receiver.close()
            self.receiver = None

    async def end(self) -> None:
        """Stop following, and the receiver too."""
        await self._end_receiver()
        await self.close()

    # -- its loop

    async def _run(self) -> None:
        wait = _FIRST_WAIT
        loaded = False
        while True:
            self._woken.clear()
            try:
                await self._keep_receiver()
                if not loaded:
                    await self._load()
                    loaded = True
                again = await self._step()
                self._say(self._complains)
                wait = _FIRST_WAIT
            except Exception as error:  # noqa: BLE001
                # Whatever it is: a service whose archiving has ended for good would look fine.
                self._say(_words(error))
                await self._keep_limit()
                again, wait = wait, min(_LONGEST_WAIT, wait * 2)
                await asyncio.sleep(min(again, _FIRST_WAIT))  # What goes wrong at once is not tried at once again.
            with suppress(TimeoutError):
                async with asyncio.timeout(again):
                    await self._woken.wait()

    def _say(self, problem: str | None) -> None:
        if problem != self.problem:
            if problem is not None:
                _log.warning("archiving does not go on", timeline=self.archive.id.ubid, reason=problem)
            else:
                _log.info("archiving goes on", timeline=self.archive.id.ubid)
            self.problem = problem

    async def _load(self) -> None:
        async with self.shared.collecting:
            await run_whole(self.archive.tidy)
            await run_whole(self.archive.describe, self.facts)
            self.bases = await run_whole(self.archive.bases)

    async def _step(self) -> float:
        """Whatever there is to do; returns the seconds after which there is something again, if nothing happens."""
        self._mark = self.spool.mark(self._growing)
        await self._keep_limit()
        await self._collect()
        if self.earliest is None and self.bases:
            await self._find_earliest()
        again = self._keep_bases()
        return again if self._collector.settled else min(again, _AGAIN)

    # -- WAL

    async def _keep_receiver(self) -> None:
        """One that follows the server that runs now, and has nothing to complain of."""
        serving, receiver = self._serving, self.receiver
        if receiver is not None and self._against is None and serving is not None:
            self._against = serving.process if receiver.process.started >= serving.process.started else None
        complaint = await asyncio.to_thread(self._complaint)
        if receiver is not None and not receiver.ended and not complaint and self._is_current():
            self._restarts, self._complains = 0, None
            return
        if serving is None or self._paused:
            return
        if self._is_current() and (complaint or (receiver is not None and receiver.ended)):
            await self._wait_to_restart(complaint)
        await self._end_receiver()
        gone = _GONE in complaint
        if gone:
            await self._collect()
            await asyncio.to_thread(self.spool.begin_anew)
            self._growing = None
        # A receiver that asked for WAL that is gone has moved its slot there.
        await ensure_slot(serving.sockets, serving.port, pid=serving.process.pid, anew=gone)
        self.receiver = await asyncio.to_thread(
            start_receiver, serving.binaries, self.spool, serving.sockets, serving.port
        )
        self._against = serving.process

    def _is_current(self) -> bool:
        return self._serving is not None and self._against == self._serving.process

    async def _wait_to_restart(self, complaint: str) -> None:
        self._restarts += 1
        if self._restarts > 1:
            self._complains = f"WAL cannot be received: {complaint or 'the receiver ended'}"
            self._say(self._complains)
            await asyncio.sleep(min(30.0, 0.5 * 2.0 ** min(self._restarts, 10)))

    def _complaint(self) -> str:
        """What the receiver has said, which it only does when something is wrong; the end of it."""
        try:
            with self.spool.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LONGEST_COMPLAINT))
                return file.read(_LONGEST_COMPLAINT).decode(errors="replace").strip()
        except FileNotFoundError:
            return ""

    async def _end_receiver(self) -> None:
        receiver, self.receiver, self._against = self.receiver, None, None
        if receiver is None:
            return
        loop = asyncio.get_running_loop()
        receiver.signal(signal.SIGINT)
        asked = loop.time()
        while not receiver.ended:
            if loop.time() - asked > _END_SECONDS:
                receiver.signal(signal.SIGKILL)
            await asyncio.sleep(_POLL)
        receiver.close()

    async def _collect(self) -> None:
        async with self._collecting, self.shared.collecting:
            waiting = await run_whole(self._collector.collect)
        self._growing = waiting.growing
        if self._paused:
            self._paused = False
            self._woken.set()

    async def _keep_limit(self) -> None:
        """Beyond what may wait here it is the server that keeps the WAL, as long as its slot may."""
        waiting = await asyncio.to_thread(self.spool.waiting)
        if not self._paused and waiting.size > self.shared.settings.spool_gib * _GIB:
            _log.error("the spool is full: receiving stops", timeline=self.archive.id.ubid, bytes=waiting.size)
            self._paused = True
            await self._end_receiver()

    async def _flushed(self) -> str | None:
        """The position until which its server has everything; None when there is no server that answers."""
        serving = self._serving
        if serving is not None:
            with suppress(HowdahError):
                return await flushed_until(serving.sockets, serving.port, pid=serving.process.pid)
        return None

    async def _has(self, until: str) -> bool:
        """Whether everything until that position has been received."""
        serving = self._serving
        if serving is not None:
            with suppress(HowdahError):
                return await has_until(serving.sockets, serving.port, until, pid=serving.process.pid)
        return False

    # -- base backups

    def _keep_bases(self) -> float:
        """Begin the next one when it is due; returns the seconds until then."""
        if self._base is not None and not self._base.done():
            return _LONGEST_BASE_WAIT
        due = self._due()
        now = datetime.now(UTC)
        if due is None:
            return _LONGEST_BASE_WAIT
        if due.at <= now:
            self._base = asyncio.create_task(self._back_up(), name=f"base backup {self.archive.id}")
            return _LONGEST_BASE_WAIT
        return min(_LONGEST_BASE_WAIT, (due.at - now).total_seconds())

    def _due(self) -> Due | None:
        if self._serving is None:
            return None
        return next_backup(
            self.archive.id,
            self.bases,
            interval=timedelta(hours=self.shared.settings.interval_hours),
            chain=self.shared.settings.chain,
            asked=self._serving.asked,
            gap_open=self._collector.gap_open,
            now=datetime.now(UTC),
        )

    async def _back_up(self) -> None:
        """One, tried until there is one."""
        wait, full = _FIRST_WAIT, False
        while True:
            async with self.shared.backing_up:
                due, serving = self._due(), self._serving
                if due is None or serving is None:
                    return
                self.base_began = datetime.now(UTC)
                try:
                    taken = await self._take(serving, None if full else due.parent)
                    break
                except Exception as error:  # noqa: BLE001
                    self.base_problem = f"the last base backup failed: {_words(error)}"
                    _log.warning("a base backup failed", timeline=self.archive.id.ubid, reason=_words(error))
                finally:
                    self.base_began = None
            # An incremental one is refused where WAL summaries are missing, or nothing was written since.
            if due.parent is not None and not full:
                full = True
                continue
            await asyncio.sleep(wait)
            wait = min(_LONGEST_BASE_WAIT, wait * 2)
        self.base_problem = None
        self.bases = [*self.bases, taken]
        _log.info("base backup taken", timeline=self.archive.id.ubid, name=taken.name, bytes=taken.stored_bytes)
        self.changed()
        self._woken.set()

    async def _take(self, serving: Serving, parent: BaseBackup | None) -> BaseBackup:
        began_in_gap = self._collector.gap_open
        settings = self.shared.settings
        source = Source(
            binaries=serving.binaries,
            sockets=serving.sockets,
            port=serving.port,
            pid=serving.process.pid,
            rate_mib=settings.rate_mib,
            # What does not fit into its storage is none of its data.
            largest=(serving.storage_gib + 1) * _GIB,
        )
        taken = await take_base(source, self.spool, self.archive, parent, request=serving.asked)
        if began_in_gap:
            async with self._collecting:
                await run_whole(self._collector.close_gaps, taken.finished_at)
        return taken

    async def _find_earliest(self) -> None:
        async with self.shared.collecting:
            found = window(await run_whole(contents, self.archive))
        if found is not None:
            self.earliest = found.earliest
            self.changed()


def _words(error: Exception) -> str:
    if isinstance(error, HowdahError | OSError):
        return str(error)
    _log.error("a defect of archiving", exc_info=error)
    return f"a defect: {error!r}"
