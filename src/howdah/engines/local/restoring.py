"""Data directories made from archives: in the background, one for each service that is being restored."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from howdah.backup.assemble import assemble
from howdah.backup.errors import BackupError
from howdah.backup.programs import Programs
from howdah.domain.backups import RestoreSource
from howdah.domain.errors import HowdahError
from howdah.domain.ids import ServiceId, TimelineId
from howdah.engines.local.archiving.archives import Archives, late
from howdah.engines.local.binaries import Binaries
from howdah.launcher.files import sync_filesystem

_log = structlog.get_logger()
DIRECTORY = "restored"
"""Where they lie, in the directory of the pool."""

CATCH_UP_SECONDS = 30.0
"""How long what its source has committed may take to reach the archive."""

_STEP_SECONDS = 1.0
_FIRST_WAIT, _LONGEST_WAIT = 5.0, 600.0


class _AbandonedError(Exception):
    """The service is being deleted."""


@dataclass(frozen=True, slots=True)
class Restored:
    """``clone``: a data directory as the launcher is told of it. ``target``: where its recovery ends, None: at the end
    of the WAL."""

    clone: str
    target: datetime | None


@dataclass(slots=True)
class _Work:
    task: asyncio.Task[Restored]
    source: TimelineId
    abandoned: threading.Event = field(default_factory=threading.Event)
    doing: str = "waiting for the archive"
    done: float = 0.0
    failures: int = 0
    next_try: float = 0.0


class Restorations:
    """``pool``: a directory on the file system of the services."""

    def __init__(self, archives: Archives, pool: Path) -> None:
        self._archives = archives
        self._directory = pool / DIRECTORY
        self._works: dict[ServiceId, _Work] = {}

    def tidy(self) -> None:
        """Delete what a killed control plane left half done."""
        shutil.rmtree(self._directory, ignore_errors=True)

    async def step(self, service: ServiceId, source: RestoreSource, binaries: Binaries) -> Restored | None:
        """Begin or go on; what was made, None while it is under way. Bounded.

        Raises what it failed with, for ever longer until it is tried again: BackupError, OSError.
        """
        work = self._works.get(service)
        if work is None or (work.next_try and time.monotonic() >= work.next_try):
            work = self._begin(service, source, binaries, work.failures if work is not None else 0)
        await asyncio.wait([work.task], timeout=_STEP_SECONDS)
        if not work.task.done():
            return None
        try:
            return work.task.result()
        except Exception as error:  # whatever it failed with, it is said and tried again
            if work.next_try == 0.0:
                work.failures += 1
                work.next_try = time.monotonic() + min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(work.failures - 1, 16))
            if isinstance(error, HowdahError | OSError):
                raise
            _log.error("a defect of restoring", exc_info=error)
            raise BackupError(f"it cannot be restored: {error!r}") from error

    def doing(self, service: ServiceId) -> str | None:
        """In words, how far it is."""
        work = self._works.get(service)
        return None if work is None else f"{work.doing} ({work.done:.0%})"

    def reads(self, timeline: TimelineId) -> bool:
        """Whether something is being made from it, or will be when it is tried again."""
        return any(work.source == timeline for work in self._works.values())

    def over(self, service: ServiceId) -> None:
        """What was made has been put in place."""
        self._works.pop(service, None)

    async def abandon(self, service: ServiceId) -> bool:
        """Whether it has ended, and nothing of it is left."""
        work = self._works.get(service)
        if work is None:
            return True
        work.abandoned.set()
        await asyncio.wait([work.task], timeout=_STEP_SECONDS)
        if not work.task.done():
            return False
        await asyncio.to_thread(shutil.rmtree, self._directory / service.ubid, ignore_errors=True)
        del self._works[service]
        return True

    async def close(self) -> None:
        for work in self._works.values():
            work.abandoned.set()
        await asyncio.gather(*(work.task for work in self._works.values()), return_exceptions=True)

    def _begin(self, service: ServiceId, source: RestoreSource, binaries: Binaries, failures: int) -> _Work:
        task = asyncio.create_task(self._restore(service, source, binaries), name=f"restore {service}")
        work = self._works[service] = _Work(task, source.timeline, failures=failures)
        return work

    async def _restore(self, service: ServiceId, source: RestoreSource, binaries: Binaries) -> Restored:
        work = self._works[service]
        line = self._archives.line(source.timeline)
        complete = line is None or await line.catch_up(CATCH_UP_SECONDS)

        def progress(doing: str, done: float) -> None:
            work.doing, work.done = doing, done
            if work.abandoned.is_set():
                raise _AbandonedError

        def make() -> Restored:
            directory = self._directory / service.ubid
            self._directory.mkdir(mode=0o711, parents=True, exist_ok=True)
            if directory.exists():
                shutil.rmtree(directory)
            archive = self._archives.archive.timeline(source.timeline)
            programs = Programs(binaries.root / "bin", binaries.environment)
            try:
                made = assemble(archive, source.target, directory, programs, progress)
            except _AbandonedError:
                raise BackupError("the restoration was abandoned") from None
            sync_filesystem(directory)
            return Restored(f"{DIRECTORY}/{service.ubid}", made.target)

        made = await asyncio.to_thread(make)
        # One with a later transaction has all that was before that; else who knows what is still on its way.
        if line is not None and line.serves and not complete and made.target is None:
            raise late(line, await line.known_until())
        return made
