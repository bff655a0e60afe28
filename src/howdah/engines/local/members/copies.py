"""Data directories of standbys, copied from their primaries: in the background, one for each standby."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from howdah.backup.errors import BackupError
from howdah.backup.programs import Programs
from howdah.domain.errors import HowdahError
from howdah.domain.ids import InstanceId
from howdah.engines.local.archiving.base import run_child
from howdah.engines.local.archiving.receiver import CLIENT
from howdah.engines.local.binaries import Binaries
from howdah.engines.local.members.membership import slot_of
from howdah.launcher.files import sync_filesystem

DIRECTORY = "copied"
"""Where they lie, in the directory of the pool."""

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_STEP_SECONDS = 0.05

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Original:
    """The primary that is copied. ``largest``: bytes of a file that the copy may have. ``tablespaces``: places outside
    of its data directory, by OID. ``histories``: files of its WAL directory that say where its timelines come from; who
    follows it through a failover later may ask for any of them."""

    binaries: Binaries
    sockets: Path
    port: int
    largest: int
    tablespaces: dict[str, str]
    histories: dict[str, bytes]


@dataclass(slots=True)
class _Work:
    """``next_try``: of one that has failed, when it is tried again; 0 while that is not known yet."""

    task: asyncio.Task[None]
    failures: int = 0
    next_try: float = 0.0
    began: float = field(default_factory=time.monotonic)


class Copies:
    """``pool``: a directory on the file system of the services. ``ended``: called with each standby whose copy has been
    made, or could not be."""

    def __init__(self, pool: Path, ended: Callable[[InstanceId], None]) -> None:
        self._directory = pool / DIRECTORY
        self._ended = ended
        self._works: dict[InstanceId, _Work] = {}

    def tidy(self) -> None:
        """Delete what a killed control plane left half done."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def under_way(self, standby: InstanceId) -> bool:
        work = self._works.get(standby)
        return work is not None and not work.task.done()

    def wait(self, standby: InstanceId) -> float:
        """Seconds until another try after one that failed."""
        work = self._works.get(standby)
        return 0.0 if work is None else max(0.0, work.next_try - time.monotonic())

    async def step(self, standby: InstanceId, original: Original) -> str | None:
        """Begin or go on; the copy as the launcher is told of it, None while it is under way. Bounded.

        Raises what it failed with: BackupError, OSError.
        """
        work = self._works.get(standby)
        if work is None or (work.next_try and time.monotonic() >= work.next_try):
            failures = work.failures if work is not None else 0
            task = asyncio.create_task(self._copy(standby, original), name=f"copy {standby}")
            work = self._works[standby] = _Work(task, failures)
            task.add_done_callback(lambda _: self._ended(standby))
        await asyncio.wait([work.task], timeout=_STEP_SECONDS)
        if not work.task.done():
            return None
        try:
            work.task.result()
        except Exception as error:  # whatever it failed with, it is said and tried again
            if work.next_try == 0.0:
                work.failures += 1
                work.next_try = time.monotonic() + min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(work.failures - 1, 10))
            if isinstance(error, HowdahError | OSError):
                raise
            _log.error("a defect of copying", exc_info=error)
            raise BackupError(f"it cannot be copied: {error!r}") from error
        return f"{DIRECTORY}/{standby.ubid}"

    def over(self, standby: InstanceId) -> None:
        """What was made has been put in place."""
        self._works.pop(standby, None)

    async def abandon(self, standby: InstanceId) -> None:
        """Nothing of it is left."""
        work = self._works.pop(standby, None)
        if work is not None:
            work.task.cancel()
            await asyncio.gather(work.task, return_exceptions=True)
        await asyncio.to_thread(shutil.rmtree, self._directory / standby.ubid, ignore_errors=True)

    async def close(self) -> None:
        for work in self._works.values():
            work.task.cancel()
        await asyncio.gather(*(work.task for work in self._works.values()), return_exceptions=True)

    async def _copy(self, standby: InstanceId, original: Original) -> None:
        directory, elsewhere = self._directory / standby.ubid, self._directory / f"{standby.ubid}.tablespaces"
        await asyncio.to_thread(_clear, directory, elsewhere)
        options = [
            *("--format=plain", "--wal-method=stream", "--checkpoint=fast", "--no-manifest", "--no-sync"),
            *(f"--slot={slot_of(standby)}", f"--pgdata={directory}", "--no-password", "--username=postgres"),
            *(f"--host={original.sockets}", f"--port={original.port}"),
            *(f"--tablespace-mapping={place}={elsewhere / oid}" for oid, place in original.tablespaces.items()),
        ]
        environment = original.binaries.environment | CLIENT | {"PGAPPNAME": "howdah_copy"}
        command = Programs(original.binaries.root / "bin", environment).command(
            "pg_basebackup", *options, write=[self._directory], largest=original.largest
        )
        try:
            await run_child("pg_basebackup", command, environment, grows=directory)
            await asyncio.to_thread(_bring_in, directory, original, elsewhere)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(elsewhere, ignore_errors=True)


def _clear(directory: Path, elsewhere: Path) -> None:
    directory.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    for place in (directory, elsewhere):
        shutil.rmtree(place, ignore_errors=True)
    elsewhere.mkdir(mode=0o700)


def _bring_in(directory: Path, original: Original, elsewhere: Path) -> None:
    """Tablespaces become directories of the data directory, so that no server writes into another's."""
    for name, content in original.histories.items():
        (directory / "pg_wal" / name).write_bytes(content)
    for oid in original.tablespaces:
        link = directory / "pg_tblspc" / oid
        link.unlink()
        os.rename(elsewhere / oid, link)
    sync_filesystem(directory)
