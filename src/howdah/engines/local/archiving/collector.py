"""Carries WAL from a spool to the archive: whole segments once, the growing one as often as it has grown."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from howdah.backup.archive import TimelineArchive
from howdah.backup.errors import BackupError, DamageError, ForeignError
from howdah.backup.packing import Packing
from howdah.backup.programs import Ended, Programs, records
from howdah.backup.wal import Segment, StoredWal, written_by
from howdah.domain.backups import Gap
from howdah.engines.local.archiving.spool import Spool, Waiting

_TICK_NS = 50_000_000
_FOREIGN = (
    "the archive of this service holds the backups of another database, kept when that was deleted; since then an older"
    " copy of the store was put back, and the service was made anew: they stay as they are, and nothing of this one is"
    " archived. Use a new service instead, and delete this one only when those backups are needed no more"
)
_FORKED = (
    "the archive has another history of Postgres' timeline {number} than the server of this service: that of a server"
    " which lived on from before an older copy of the store was put back. What it archived stays, and can be restored;"
    " nothing of this server is archived. Restore into a new service, and use that one"
)
LOST = "WAL was lost before it reached the archive"


@dataclass(slots=True)
class Collector:
    """One thread at a time calls it. Raises StoreError when the archive is out of reach, ForeignError when it has
    another database, OSError.

    Safe to be killed anywhere: what is put twice is the same, and nothing leaves the spool before it is durably in the
    archive. programs: those of its server. gap_open: WAL is missing, and no base backup is newer than that.
    settled: nothing was being written while it was read; else another round is needed, though nothing shows it.
    until: until where (LSN) the archive has what came; None before the first round.
    """

    spool: Spool
    archive: TimelineArchive
    programs: Programs | None = None
    gap_open: bool = False
    settled: bool = True
    until: int | None = None
    _last: StoredWal | None = None
    _loaded: bool = False
    _owned: bool = False
    _grown: tuple[Segment, int] | None = None
    _packing: tuple[Segment, Packing] | None = None
    _histories: set[str] = field(default_factory=set[str])

    def collect(self) -> Waiting:
        """One round; returns what was in the spool when it began."""
        self._load()
        waiting = self.spool.waiting()
        if not self._is_owned(waiting):
            self.settled = False
            return waiting
        self.settled = True
        for name in waiting.histories:
            # They stay: a receiver asks for those that it has not, and not every server has all of them.
            if name not in self._histories:
                self._put_history(name)
        for segment in waiting.left:
            self.archive.put_partial(segment.name, self.spool.partial(segment), Packing())
            self.spool.partial(segment).unlink()
        newest = waiting.newest
        for segment in waiting.complete:
            self._put_whole(segment)
            # The receiver goes on after the newest file that it finds.
            if segment != newest:
                self.spool.whole(segment).unlink()
        if waiting.growing is not None:
            self._put_growing(waiting.growing)
        return waiting

    def open_gap(self, gap: Gap) -> None:
        """Have it shown, and closed by a full base backup."""
        self.archive.note_gap(gap)
        self.gap_open = True

    def close_gaps(self, finished_at: datetime) -> None:
        """A base backup that began after all of them is finished."""
        for gap in self.archive.gaps():
            if gap.until is None:
                self.archive.note_gap(replace(gap, until=finished_at))
        self.gap_open = False

    def _load(self) -> None:
        if not self._loaded:
            stored = self.archive.wal()
            self.gap_open = any(gap.until is None for gap in self.archive.gaps())
            self._last = stored[-1] if stored else None
            self._loaded = True

    def _is_owned(self, waiting: Waiting) -> bool:
        """Whether what is in the spool may come to the archive; False while that cannot be said yet."""
        if self._owned or (newest := waiting.newest) is None:
            return True
        path = self.spool.whole(newest)
        try:
            writer = written_by(path if newest in waiting.complete else self.spool.partial(newest))
        except FileNotFoundError:  # It has become whole meanwhile.
            return False
        if writer is None:
            return False
        with suppress(DamageError):  # All of them: nothing is left that could be harmed.
            if {base.system_identifier for base in self.archive.bases()} - {writer}:
                raise ForeignError(_FOREIGN)
        self._owned = True
        return True

    def _put_history(self, name: str) -> None:
        """One that is another one's by that number was written by a server that lived on when an older copy of the
        store was put back: what both wrote since must not be mixed."""
        path, number, there = self.spool.wal / name, int(name.partition(".")[0], 16), None
        with suppress(DamageError):  # Put again, it is whole.
            there = self.archive.histories().get(number)
        if there is None:
            self.archive.put_wal(name, path)
        elif there.split() != path.read_text(errors="replace").split():
            raise ForeignError(_FORKED.format(number=number))
        self._histories.add(name)

    def _put_whole(self, segment: Segment) -> None:
        path = self.spool.whole(segment)
        if self._last is None or self._last.segment != segment or self._last.partial:
            self._look_for_gap(segment)
            self.archive.put_wal(segment.name, path, self._packing_of(segment))
            self._packing = None
        self.until = segment.next().start
        self._note(segment, path.stat().st_mtime, partial=False)

    def _put_growing(self, segment: Segment) -> None:
        path = self.spool.partial(segment)
        try:
            looked, modified = time.time_ns(), path.stat().st_mtime_ns
            if self._grown == (segment, modified):
                return
            self._look_for_gap(segment)
            packing = self._packing_of(segment)
            if self.archive.put_partial(segment.name, path, packing):
                self._note(segment, modified / 1e9, partial=True)
            self.until = segment.start + packing.length
        except FileNotFoundError:  # It has become whole meanwhile.
            return
        # A file's time is no finer than a tick of the kernel: a write just after this read may have left it as it was.
        self.settled = abs(looked - modified) > _TICK_NS
        self._grown = (segment, modified) if self.settled else None

    def _packing_of(self, segment: Segment) -> Packing:
        if self._packing is None or self._packing[0] != segment:
            self._packing = segment, Packing()
        return self._packing[1]

    def _look_for_gap(self, segment: Segment) -> None:
        """Whether segments between the last one in the archive and this one are missing."""
        last = self._last
        if last is None or last.segment.wal_timeline > segment.wal_timeline:
            return
        if segment.number > last.segment.number + (0 if last.partial else 1):
            self.open_gap(Gap(self.known_until() or last.modified, None, LOST))

    def known_until(self) -> datetime | None:
        """The last moment of which is known that nothing until then is missing: a transaction ended, or a backup was
        finished. When WAL was received says less: a receiver may be late."""
        self._load()
        last = self._last
        known = [base.finished_at for base in self.archive.bases()]
        if self.programs is not None and last is not None:
            with TemporaryDirectory(dir=self.spool.home) as scratch:
                segment, wal = last.segment, Path(scratch)
                self.archive.fetch_wal(segment.name, wal / segment.name)
                found = records(self.programs, wal, segment.wal_timeline, segment.start, segment)
                with suppress(BackupError):
                    known += [record.at for record in found if isinstance(record, Ended)]
        return max(known, default=None)

    def _note(self, segment: Segment, modified: float, *, partial: bool) -> None:
        self._last = StoredWal(segment, partial, 0, datetime.fromtimestamp(modified, UTC))
