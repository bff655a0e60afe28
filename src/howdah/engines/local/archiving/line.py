"""The archiving of one service: WAL is received, brought to the archive, and base backups are taken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timedelta

import structlog

from howdah.backup.archive import TimelineArchive
from howdah.backup.assemble import contents
from howdah.backup.errors import DamageError, ForeignError
from howdah.backup.programs import Programs
from howdah.backup.restorable import window
from howdah.backup.wal import Segment, lsn
from howdah.domain.errors import HowdahError
from howdah.engines.local.archiving.backing_up import BackingUp, Shared, in_words
from howdah.engines.local.archiving.collector import Collector
from howdah.engines.local.archiving.lateness import Lateness
from howdah.engines.local.archiving.received import Received
from howdah.engines.local.archiving.receiver import Receiver
from howdah.engines.local.archiving.receiving import Receiving, Serving
from howdah.engines.local.archiving.slot import flushed_until, has_until, received_until
from howdah.engines.local.archiving.spool import Spool
from howdah.engines.local.archiving.upkeep import Upkeep
from howdah.engines.local.archiving.whole import run_whole
from howdah.launcher.processes import inspect_process
from howdah.launcher.servers import Started

_GIB = 1 << 30
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0
_POLL = 0.02

_log = structlog.get_logger()


@dataclass(slots=True)
class Line:
    """``changed``: called when what can be restored has changed. ``facts``: whose archive it is, for who has nothing
    else. ``found``: a receiver of it that runs.

    earliest: the first moment that can be restored. retention: for how long moments can be restored.
    """

    archive: TimelineArchive
    spool: Spool
    shared: Shared
    facts: dict[str, str]
    changed: Callable[[], None]
    retention: InitVar[timedelta]
    found: Receiver | None = None
    earliest: datetime | None = None

    backing_up: BackingUp = field(init=False)
    upkeep: Upkeep = field(init=False)
    _receiving: Receiving = field(init=False)
    _collector: Collector = field(init=False)
    _collecting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _serving: Serving | None = None
    _ending: bool = False
    _last: Started | None = None
    _loaded: bool = False
    _foreign: bool = False
    _growing: Segment | None = None
    _mark: tuple[int, ...] = ()
    _problem: str | None = None
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _lateness: Lateness = field(default_factory=Lateness)
    _task: asyncio.Task[None] | None = None

    def __post_init__(self, retention: timedelta) -> None:
        self._collector = Collector(self.spool, self.archive)
        self._receiving = Receiving(self.spool, self._collect, self.found)
        self.backing_up = BackingUp(self.archive, self._collector, self._collecting, self.shared, self._backed_up)
        self.upkeep = Upkeep(self.archive, self._collector, self._collecting, self.shared, retention)

    # -- what others do with it

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"archive {self.archive.id}")

    @property
    def serving(self) -> Serving | None:
        """Its server; None while there is none that lets clients in."""
        return self._serving

    @property
    def serves(self) -> bool:
        """Whether it has a server that lets clients in."""
        return self._serving is not None

    @property
    def sends_itself(self) -> bool:
        """Whether its WAL comes from the primary."""
        return self._serving is not None and self._serving.relay is None

    @property
    def problem(self) -> str | None:
        """Why it does not go on, in words; None while it does."""
        return self._problem or self._receiving.problem or self.backing_up.problem

    def serve(self, serving: Serving | None) -> None:
        """The server as it is now; None while there is none that lets clients in."""
        if serving == self._serving:
            return
        self._serving = self.backing_up.serving = serving
        if serving is not None:
            self._collector.programs = Programs(serving.binaries.root / "bin", serving.binaries.environment)
        self._woken.set()

    def expect_end(self) -> None:
        """Its server ends for good: nothing more is to be waited for once it has, and has sent all that it had."""
        self._ending = True
        if self._serving is not None:
            self._last = self._serving.process
        self.serve(None)

    def _has_ended(self) -> bool:
        """Whether its server has ended for good."""
        if not self._ending:
            return False
        found = inspect_process(self._last.pid) if self._last is not None else None
        return found is None or self._last is None or found.started != self._last.started

    def look(self, *, full: bool, closely: bool) -> None:
        """Go on when the receiver has written or said something, or has ended, or cannot say anything any more.
        ``full``: the disk of all spools is. ``closely``: also at what costs more to see."""
        mark = self.spool.mark(self._growing)
        if full or mark != self._mark or self._receiving.ended or (closely and self._receiving.suspended):
            self._mark = mark
            self._woken.set()

    async def catch_up(self, seconds: float) -> bool:
        """Have everything that its server has committed until now in the archive; whether that is so within
        ``seconds``. False too when no server says how much that is: then it is all that came from it. True where it has
        another database, of which there is no more.

        Raises StoreError, OSError.
        """
        if self._foreign:
            return True
        deadline = asyncio.get_running_loop().time() + seconds
        wanted: str | None = None
        while True:
            wanted = wanted or await self._flushed()
            complete = wanted is not None and await self._has(wanted)
            if complete or self._has_ended() or asyncio.get_running_loop().time() > deadline:
                await self._collect()
                return complete
            await asyncio.sleep(_POLL)

    def received(self) -> Received:
        """What has come from its server."""
        return Received(self.spool, self.archive, self._collector.programs)

    async def is_received(self) -> bool:
        """Whether all that its server has committed until now has left it, or nobody fetches it."""
        if self._foreign:
            return True
        wanted = await self._flushed()
        return wanted is not None and await self._has(wanted)

    async def collect(self) -> None:
        """Bring what has been received to the archive. Raises StoreError, OSError."""
        await self._collect()

    async def known_until(self) -> datetime | None:
        """The last moment of which is known that the archive has all until then. Raises StoreError, OSError."""
        async with self._collecting:
            return await run_whole(self._collector.known_until)

    @property
    def archived(self) -> int | None:
        """Until where (LSN) the archive has what came; None before anything was brought there."""
        return self._collector.until

    def observe(self, flushed: int, received: int | None) -> None:
        """What was seen of its server just now: until where (LSN) it has everything, and its receiver; None: none is
        connected."""
        until = received if received is not None else self.archived
        if until is not None:
            self._lateness.see(flushed, until, time.monotonic())

    async def late(self) -> tuple[int, float]:
        """Bytes of WAL that have not left its server, and for how many seconds some have been on their way."""
        if not self._lateness.is_fresh(time.monotonic()):
            with suppress(HowdahError):
                if (flushed := await self._flushed()) is not None and (serving := self._serving) is not None:
                    sender = serving.sender
                    received = await received_until(sender.sockets, sender.port, pid=sender.process.pid)
                    self.observe(lsn(flushed), None if received is None else lsn(received))
        return self._lateness.bytes, self._lateness.seconds(time.monotonic())

    async def close(self) -> None:
        """Stop following; the receiver goes on."""
        await self._stop()
        self._receiving.close()

    async def end(self) -> None:
        """Stop following, and the receiver too."""
        self._ending = True
        await self._stop()
        await self._receiving.end()

    async def _stop(self) -> None:
        await self.backing_up.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # -- its loop

    async def _run(self) -> None:
        wait = _FIRST_WAIT
        while True:
            self._woken.clear()
            try:
                again = await self._step()
                self._say(self._receiving.problem)
                wait = _FIRST_WAIT
            except Exception as error:  # noqa: BLE001
                # Whatever it is: a service whose archiving has ended for good would look fine.
                self._say(in_words(error))
                again, wait = wait, min(_LONGEST_WAIT, wait * 2)
                await asyncio.sleep(min(again, _FIRST_WAIT))  # What goes wrong at once is not tried at once again.
            with suppress(TimeoutError):
                async with asyncio.timeout(again):
                    await self._woken.wait()

    def _say(self, problem: str | None) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        if problem is not None:
            _log.warning("archiving does not go on", timeline=self.archive.id.ubid, reason=problem)
        else:
            _log.info("archiving goes on", timeline=self.archive.id.ubid)

    async def _step(self) -> float:
        """Whatever there is to do; returns the seconds after which there is something again, if nothing happens."""
        # First what needs no archive, which may be out of reach.
        await self._keep_limit()
        if not self._foreign:
            await self._receiving.keep(self._serving)
        self._mark = self.spool.mark(self._growing)
        if not self._loaded:
            await self._load()
        await self._collect()
        if self.earliest is None and self.backing_up.bases:
            await self._find_earliest()
        if not self._collector.settled:
            self._mark = ()  # To be read again at the next tick, though nothing may show that it was written.
        await self._look_after()
        return min(self.backing_up.keep(), self.upkeep.wait)

    async def _look_after(self) -> None:
        old = await self.upkeep.look(self.backing_up.began)
        if old.bases or old.wal:
            _log.info(
                "old backups deleted", timeline=self.archive.id.ubid, bases=list(old.bases), segments=len(old.wal)
            )
            self.backing_up.bases = [base for base in self.backing_up.bases if base.name not in old.bases]
            await self._find_earliest()

    async def _load(self) -> None:
        async with self.shared.collecting:
            await run_whole(self.archive.tidy)
            await run_whole(self.archive.describe, self.facts)
            try:
                self.backing_up.bases = await run_whole(self.archive.bases)
            except DamageError as error:
                _log.error("no base backup can be read; another is taken", reason=str(error))
        self._loaded = True

    async def _collect(self) -> None:
        async with self._collecting, self.shared.collecting:
            try:
                waiting = await run_whole(self._collector.collect)
            except ForeignError:
                self._foreign = True
                await self._receiving.end()
                raise
        self._growing = waiting.growing
        if self._receiving.paused and not self._ending:
            self._receiving.paused = False
            self._woken.set()

    async def _keep_limit(self) -> None:
        """Beyond what may wait here it is the server that keeps the WAL, as long as its slot may."""
        waiting = await asyncio.to_thread(self.spool.waiting)
        if not self._receiving.paused and waiting.size > self.shared.settings.spool_gib * _GIB:
            _log.error("the spool is full: receiving stops", timeline=self.archive.id.ubid, bytes=waiting.size)
            self._receiving.paused = True
            await self._receiving.end()

    async def _flushed(self) -> str | None:
        """The position until which its server has everything; None when there is no server that answers."""
        if (serving := self._serving) is not None:
            with suppress(HowdahError):
                return await flushed_until(serving.sockets, serving.port, pid=serving.process.pid)
        return None

    async def _has(self, until: str) -> bool:
        """Whether everything until that position has been received."""
        if (serving := self._serving) is not None:
            with suppress(HowdahError):
                sender = serving.sender
                return await has_until(sender.sockets, sender.port, until, pid=sender.process.pid)
        return False

    def _backed_up(self) -> None:
        self.changed()
        self._woken.set()

    async def _find_earliest(self) -> None:
        async with self.shared.collecting:
            found = window(await run_whole(contents, self.archive))
        if found is not None:
            self.earliest = found.earliest
            self.changed()
