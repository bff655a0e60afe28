"""One receiver for a server, kept running: against the server that runs now, and without complaints."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from howdah.backup.wal import Segment
from howdah.domain.errors import HowdahError
from howdah.engines.local.archiving.receiver import SLOT, Receiver, start_receiver
from howdah.engines.local.archiving.slot import ensure_slot, move_slot
from howdah.engines.local.archiving.spool import Spool, is_full
from howdah.engines.local.archiving.whole import run_whole
from howdah.engines.local.binaries import Binaries
from howdah.launcher.processes import state_of
from howdah.launcher.servers import Started

_END_SECONDS = 5.0
_POLL = 0.02
_LONGEST_PAUSE = 30.0
_LONGEST_COMPLAINT = 1000
_GONE = ("has already been removed", "is not in this server's history", "TIMELINE_HISTORY")
"""What a receiver says when its server no longer has, or never had, what it goes on from."""

_NO_COMPLAINT = "not renaming"
"""What it says when a timeline of its server ends in the middle of a segment."""


@dataclass(frozen=True, slots=True)
class Relay:
    """A standby that has all commits and sends them on, so that its primary need not."""

    process: Started
    sockets: Path
    port: int


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that lets clients in. ``storage_gib``: what it may store. ``asked``: as in ``ServiceSpec.backup``.
    ``relay``: None where WAL is to come from itself."""

    process: Started
    binaries: Binaries
    sockets: Path
    port: int
    storage_gib: int
    asked: int
    relay: Relay | None = None

    @property
    def sender(self) -> Serving | Relay:
        """Who sends its WAL."""
        return self.relay or self


@dataclass(slots=True)
class Receiving:
    """``receiver``: one that was found running. ``drained``: brings what is in the spool to the archive.

    Its slot is at the primary in any case. One that receives from a relay does not move it: this does.

    paused: none is to run. problem: what is wrong with it again and again, in words.
    """

    spool: Spool
    drained: Callable[[], Awaitable[None]]
    receiver: Receiver | None = None
    paused: bool = False
    problem: str | None = None
    _against: tuple[Started, Started] | None = None
    _restarts: int = 0
    _moved: Segment | None = None

    @property
    def ended(self) -> bool:
        """Whether one should run and does not."""
        return self.receiver is not None and self.receiver.ended

    @property
    def suspended(self) -> bool:
        """Whether somebody has stopped it by a signal: it would never go on by itself."""
        return self.receiver is not None and state_of(self.receiver.process.pid) in ("T", "t")

    async def keep(self, serving: Serving | None) -> None:
        """Have one run. Raises Unavailable, StoreError, OSError."""
        receiver = self.receiver
        if receiver is not None and self._against is None and serving is not None:
            self._against = _adopted(receiver, serving)
        current = serving is not None and self._against == _connection(serving)
        complaint = await asyncio.to_thread(self._complaint)
        if current and receiver is not None and not receiver.ended and not self.suspended and not complaint:
            self._restarts, self.problem = 0, None
            await self._move_slot(serving)
            return
        if serving is None or self.paused:
            return
        if current and (complaint or receiver is not None):
            await self._wait_to_restart(complaint)
        await self.end()
        gone = any(words in complaint for words in _GONE)
        if gone:
            await self.drained()
            await asyncio.to_thread(self.spool.begin_anew)
        # A receiver that asked for WAL that is gone has moved its slot there.
        await ensure_slot(serving.sockets, serving.port, pid=serving.process.pid, anew=gone)
        await run_whole(self._start, serving)

    def _start(self, serving: Serving) -> None:
        # Here, on a thread that comes to its end: one that is started is known, also when nobody waits any more.
        sender = serving.sender
        slot = None if serving.relay is not None else SLOT
        self.receiver = start_receiver(serving.binaries, self.spool, sender.sockets, sender.port, slot=slot)
        self._against = _connection(serving)

    async def _move_slot(self, serving: Serving | None) -> None:
        """What is here durably, the primary need not keep any more. Raises Unavailable."""
        if serving is None or serving.relay is None:
            return
        waiting = await asyncio.to_thread(self.spool.waiting)
        newest = waiting.newest
        if newest is not None and newest != self._moved:
            await move_slot(serving.sockets, serving.port, pid=serving.process.pid, to=newest.start)
            self._moved = newest

    async def end(self) -> None:
        receiver, self.receiver, self._against = self.receiver, None, None
        if receiver is None:
            return
        loop = asyncio.get_running_loop()
        receiver.signal(signal.SIGINT)
        asked = loop.time()
        while not receiver.ended:
            if loop.time() - asked > _END_SECONDS or state_of(receiver.process.pid) in ("T", "t"):
                receiver.signal(signal.SIGKILL)
            await asyncio.sleep(_POLL)
        receiver.close()

    def close(self) -> None:
        """Stop watching it; it goes on."""
        if self.receiver is not None:
            self.receiver.close()
            self.receiver = None

    async def _wait_to_restart(self, complaint: str) -> None:
        self._restarts += 1
        if self._restarts > 1:
            self.problem = f"WAL cannot be received: {complaint or 'the receiver ended'}"
            with suppress(HowdahError, OSError):
                await self.drained()  # Where it has no room, that makes some.
            await asyncio.sleep(min(_LONGEST_PAUSE, 0.5 * 2.0 ** min(self._restarts, 10)))

    def _complaint(self) -> str:
        """What the receiver has said, which it only does when something is wrong; the end of it."""
        said = b""
        with suppress(FileNotFoundError), self.spool.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LONGEST_COMPLAINT))
            said = file.read(_LONGEST_COMPLAINT).strip()
        if not said and is_full(self.spool.wal):
            return "No space left on the disk where WAL waits for the archive"  # Nor for what it says.
        lines = said.decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if _NO_COMPLAINT not in line)


def _connection(serving: Serving) -> tuple[Started, Started]:
    """The primary that has the slot, and to whom a receiver is connected."""
    return serving.process, serving.sender.process


def _adopted(receiver: Receiver, serving: Serving) -> tuple[Started, Started] | None:
    """The same of one that was found running; None of one that is connected to something else."""
    sender = serving.sender
    if receiver.port != sender.port or receiver.process.started < sender.process.started:
        return None
    return _connection(serving) if receiver.slotted is (serving.relay is None) else None
