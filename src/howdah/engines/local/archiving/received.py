"""The WAL of a server as its archive has it, and its receiver: for who cannot ask the server any more."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from howdah.backup.archive import TimelineArchive
from howdah.backup.errors import BackupError
from howdah.backup.programs import End, Programs, records
from howdah.backup.wal import SEGMENT_BYTES, Segment
from howdah.engines.local.archiving.spool import Spool


@dataclass(slots=True)
class Received:
    """``programs``: those of the server. Every method blocks."""

    spool: Spool
    archive: TimelineArchive
    programs: Programs | None
    _fetched: tuple[Segment, bytes] | None = None

    def until(self, position: int) -> int | None:
        """The end (LSN) of the last whole record from ``position`` on; None when that is not known: the segment of
        ``position`` is not in the spool."""
        there = self._waiting()
        first = next((one for one in sorted(there, reverse=True) if one.number == position // SEGMENT_BYTES), None)
        if self.programs is None or first is None:
            return None
        with suppress(BackupError, OSError), TemporaryDirectory(dir=self.spool.home) as scratch:
            wanted = [one for one in there if one.wal_timeline == first.wal_timeline and one.number >= first.number]
            for segment in wanted:
                shutil.copyfile(there[segment], Path(scratch) / segment.name)
            for record in records(self.programs, Path(scratch), first.wal_timeline, first.start, max(wanted)):
                if isinstance(record, End):
                    return max(record.position, position)
        return None

    def read(self, number: int, offset: int, most: int) -> tuple[str, bytes] | None:
        """Bytes of the segment with that number, of its newest timeline, and its name; None where neither has it.
        Raises OSError, BackupError."""
        there = self._waiting()
        waiting = max((one for one in there if one.number == number), default=None)
        if waiting is not None:
            with there[waiting].open("rb") as file:
                file.seek(offset)
                return waiting.name, file.read(most)
        if self._fetched is None or self._fetched[0].number != number:
            self._fetched = self._fetch(number)
        if self._fetched is None:
            return None
        segment, content = self._fetched
        return segment.name, content[offset : offset + most]

    def _waiting(self) -> dict[Segment, Path]:
        waiting = self.spool.waiting()
        there = {one: self.spool.whole(one) for one in waiting.complete}
        if waiting.growing is not None:
            there.setdefault(waiting.growing, self.spool.partial(waiting.growing))
        return there

    def _fetch(self, number: int) -> tuple[Segment, bytes] | None:
        found = max((one.segment for one in self.archive.wal() if one.segment.number == number), default=None)
        if found is None:
            return None
        with TemporaryDirectory(dir=self.spool.home) as scratch:
            path = Path(scratch) / found.name
            return (found, path.read_bytes()) if self.archive.fetch_wal(found.name, path) else None
