"""One drill, from the archive to what was found."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from howdah.backup.assemble import assemble, contents
from howdah.backup.errors import BackupError, DamageError
from howdah.backup.programs import Programs
from howdah.backup.restorable import RestorePlan, plan
from howdah.backup.wal import ARCHIVED, SEGMENT_BYTES, Segment, lsn, lsn_text
from howdah.domain.drills import DrillResult
from howdah.domain.ids import TimelineId
from howdah.engines.local.archiving.archives import Archives, late
from howdah.engines.local.archiving.line import Line
from howdah.engines.local.archiving.whole import run_whole
from howdah.engines.local.children import replayed_segment
from howdah.engines.local.connection import connect
from howdah.engines.local.drills import checksums
from howdah.engines.local.drills.checks import Examined, examine
from howdah.engines.local.drills.counting import NOT_STILL, Before, Count, Table, compare, count_after, count_before
from howdah.engines.local.drills.server import PORT, Place, Running, prepare, started

CATCH_UP_SECONDS = 30.0
HOURS = 12
"""After which one that has not come to its end is given up."""

PROBLEMS = 100
"""In words; of more only their number is kept."""

RESERVE = 2 << 30
"""Bytes that are left free beside what is restored, also for the WAL that its server writes."""

Progress = Callable[[str, float], None]
"""Told what is being done, and how much of all is done, from 0 to 1. What it raises ends the work."""


@dataclass(frozen=True, slots=True)
class Drill:
    """``programs``: of the service's major version. ``place``: where nothing is yet."""

    archives: Archives
    timeline: TimelineId
    programs: Programs
    place: Place
    progress: Progress

    async def run(self, started_at: datetime) -> DrillResult:
        """Raises HowdahError, OSError when it could not be done; what is wrong with a backup is in the result."""
        result = DrillResult(started_at, started_at)
        try:
            async with asyncio.timeout(HOURS * 3600):
                result = await self._restore(result)
        except DamageError as error:
            result = replace(result, problems=(str(error),), not_compared="nothing was restored", needs_base=True)
        except TimeoutError:
            raise BackupError(f"it has not come to its end within {HOURS} hours") from None
        finally:
            await run_whole(self.place.remove)
        problems = tuple(map(_one_line, result.problems))
        if (more := len(problems) - PROBLEMS) > 0:
            problems = (*problems[:PROBLEMS], f"{more} more problems")
        return replace(result, finished_at=datetime.now(UTC), problems=problems)

    async def _restore(self, result: DrillResult) -> DrillResult:
        self.progress("waiting for the archive", 0.0)
        line = self.archives.line(self.timeline)
        source = line.serving if line is not None else None
        before = await count_before(source)
        complete = line is None or await line.catch_up(CATCH_UP_SECONDS if line.serves else 0.0)
        if line is not None and line.serves and not complete:
            raise late(line, await line.known_until())
        made = await run_whole(self._assemble)
        after = await count_after(source, before)
        self.progress("starting", _ASSEMBLED)
        result = replace(
            result,
            chain=tuple(base.name for base in made.chain),
            data_bytes=await asyncio.to_thread(_size, self.place.data),
        )
        settings = await asyncio.to_thread(prepare, self.place, self.programs)
        async with started(self.place, self.programs, settings) as server:
            await self._replay(server, made)
            return await self._check(server, result, line, before, after)

    def _assemble(self) -> RestorePlan:
        def progress(doing: str, done: float) -> None:
            self.progress(doing, done * _ASSEMBLED)

        archive = self.archives.archive.timeline(self.timeline)
        self.place.home.mkdir(mode=0o700, parents=True)
        check_room(plan(contents(archive), None), shutil.disk_usage(self.place.home).free)
        return assemble(archive, None, self.place.data, self.programs, progress)

    async def _replay(self, server: Running, made: RestorePlan) -> None:
        """Raises DamageError when recovery fails."""
        while not await server.ready(1.0):
            name = replayed_segment(server.pid)
            segment = Segment.parse(name) if name is not None else None
            if segment is not None:
                passed = (segment.number - made.wal[0].number) / len(made.wal)
                self.progress(f"replaying WAL segment {name}", _ASSEMBLED + (_REPLAYED - _ASSEMBLED) * passed)

    async def _check(
        self, server: Running, result: DrillResult, line: Line | None, before: Before, after: dict[Table, Count]
    ) -> DrillResult:
        replayed, until = await _end(server)
        missing = missing_wal(replayed, before.position)

        def progress(done: float) -> None:
            self.progress("checking tables and indexes", _REPLAYED + (_EXAMINED - _REPLAYED) * done)

        progress(0.0)
        found = await examine(server, Random(), progress)
        source = line.serving if line is not None else None
        tables, differences = await compare(source, server, before, after)
        self.progress("checking page checksums", _EXAMINED)
        checked, damaged = await self._checksums(server, found)
        return replace(
            result,
            lsn=replayed,
            until=until,
            relations=found.looked,
            tables=tuple(tables),
            not_compared=None if tables else before.why or NOT_STILL,
            checksums=checked,
            problems=(*missing, *differences, *found.problems, *damaged),
            needs_base=bool(missing or differences),
        )

    async def _checksums(self, server: Running, found: Examined) -> tuple[bool, list[str]]:
        if server.ended:
            return False, [f"the restored server ended while it was checked: {server.complaint() or 'it said nothing'}"]
        await server.stop()
        return await checksums.check(self.place, self.programs, found.files)


_ASSEMBLED, _REPLAYED, _EXAMINED = 0.5, 0.75, 0.9
"""How much is done then, by experience."""


def _one_line(said: str) -> str:
    """Some of it is a tenant's own words."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(said.split()))[:500]


async def _end(server: Running) -> tuple[str, datetime | None]:
    """The last WAL record that was replayed, and when the last transaction in it ended. Raises Unavailable."""
    async with connect(server.sockets, PORT, pid=server.pid) as connection:
        found = await connection.execute("SELECT pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp()")
        ((replayed, until),) = await found.fetchall()
    return replayed, until


def missing_wal(replayed: str, position: int | None) -> list[str]:
    """What is wrong when recovery ended at ``replayed``. ``position``: until which the service had written WAL; None
    when that is not known."""
    if position is None or lsn(replayed) >= position:
        return []
    return [f"what was restored ends at {replayed}, though the service had written WAL until {lsn_text(position)}"]


def check_room(wanted: RestorePlan, free: int) -> None:
    """Raises BackupError when a drill would take room that services may need. ``free``: bytes."""
    copies = 1 if len(wanted.chain) == 1 else 2
    stored = max(base.stored_bytes for base in wanted.chain)
    needed = copies * sum(base.data_bytes for base in wanted.chain) + stored + len(wanted.wal) * SEGMENT_BYTES + RESERVE
    if needed > free:
        raise BackupError(f"a drill needs {needed >> 20} MiB on the disk of the services, and {free >> 20} are free")


def _size(data: Path) -> int:
    """Bytes of a restored data directory, without the WAL that is to be replayed."""
    size = 0
    for parent, directories, files in os.walk(data):
        directories[:] = [name for name in directories if name != ARCHIVED]
        size += sum((Path(parent) / name).lstat().st_size for name in files)
    return size
