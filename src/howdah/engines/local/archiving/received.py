"""How far the WAL goes that a receiver has written."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from howdah.backup.errors import BackupError
from howdah.backup.programs import End, Programs, records
from howdah.backup.wal import SEGMENT_BYTES
from howdah.engines.local.archiving.spool import Spool


def received_until(spool: Spool, programs: Programs | None, position: int) -> int | None:
    """The end (LSN) of the last whole record from ``position`` on; None when that is not known: the segment of
    ``position`` is not in the spool. Blocks."""
    waiting = spool.waiting()
    there = {one: spool.whole(one) for one in waiting.complete}
    if waiting.growing is not None:
        there.setdefault(waiting.growing, spool.partial(waiting.growing))
    first = next((one for one in sorted(there, reverse=True) if one.number == position // SEGMENT_BYTES), None)
    if programs is None or first is None:
        return None
    with suppress(BackupError, OSError), TemporaryDirectory(dir=spool.home) as scratch:
        for segment, path in there.items():
            if segment.wal_timeline == first.wal_timeline and segment.number >= first.number:
                shutil.copyfile(path, Path(scratch) / segment.name)
        for record in records(programs, Path(scratch), first.wal_timeline, first.start):
            if isinstance(record, End):
                return max(record.position, position)
    return None
