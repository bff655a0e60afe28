"""The WAL of a restoration: fetched and read through while its base backups are unpacked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

from howdah.backup.archive import TimelineArchive
from howdah.backup.errors import BackupError, DamageError
from howdah.backup.programs import End, Ended, Programs, TablespaceMade, records
from howdah.backup.restorable import RestorePlan
from howdah.backup.tablespaces import make_in_place
from howdah.backup.wal import history_name, lsn, lsn_text, switches

_ASKED_EVERY = 0.5


class WalReading:
    """Into the directory ``wal``, which it makes. Leaving it ends the work."""

    def __init__(self, archive: TimelineArchive, wanted: RestorePlan, wal: Path, programs: Programs) -> None:
        self._archive = archive
        self._wanted = wanted
        self._wal = wal
        self._programs = programs
        self._over = Event()
        self._done = 0.0
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        self._reading = self._thread.submit(self._read)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.shutdown()

    def reaches(self, go_on: Callable[[float], None]) -> bool:
        """Whether recovery can end at the target of the plan: a transaction ended after it. Without one Postgres
        refuses to end there, and all that there is is what was there at the target.

        Tablespaces that were made on the way there become part of the data directory. ``go_on``: told all the time how
        much is done, from 0 to 1; what it raises ends the work. Raises DamageError, StoreError, BackupError.
        """
        while not wait([self._reading], timeout=_ASKED_EVERY).done:
            go_on(self._done)
        return self._reading.result()

    def _read(self) -> bool:
        self._wal.mkdir(mode=0o700)
        names = list(_names(self._wanted))
        for number, name in enumerate(names):
            self._go_on()
            if not self._archive.fetch_wal(name, self._wal / name):
                raise DamageError(f"{name} is missing in the archive")
            self._done = number / len(names)
        return self._is_end()

    def _is_end(self) -> bool:
        wanted, target = self._wanted, self._wanted.target
        first, ends = lsn(wanted.chain[-1].start_lsn), self._ends()
        for line in sorted({segment.wal_timeline for segment in wanted.wal}):
            begin = max(first, min(one.start for one in wanted.wal if one.wal_timeline == line))
            made: list[int] = []
            later = False
            last = max(one for one in wanted.wal if one.wal_timeline == line)
            for record in records(self._programs, self._wal, line, begin, last):
                self._go_on()
                match record:
                    case TablespaceMade(position):
                        made.append(position)
                    case Ended(at) if target is not None and at > target:
                        later = True
                        break
                    case End(position):
                        if position < ends[line]:
                            raise _unreadable(position)
                    case _:
                        pass
            for position in made:
                make_in_place(self._wal, line, position)
            if later:
                return True
        return False

    def _ends(self) -> dict[int, int]:
        """By timeline: at least until where its WAL is to be read, so that a record that cannot be is not taken for the
        end of all WAL."""
        last = self._wanted.wal[-1]
        history = self._wal / history_name(last.wal_timeline)
        left = dict(switches(history.read_text(errors="replace"))) if history.exists() else {}
        newest = {one.wal_timeline: one for one in self._wanted.wal}
        # Where a timeline was left, its successor's segment may be the one to read.
        found = {line: min(one.next().start, left.get(line, one.next().start)) for line, one in newest.items()}
        return found | {last.wal_timeline: last.start}

    def _go_on(self) -> None:
        if self._over.is_set():
            raise BackupError("the restoration ended before its WAL was read")


def _names(wanted: RestorePlan) -> Iterator[str]:
    yield from map(history_name, wanted.histories)
    yield from (segment.name for segment in wanted.wal)


def _unreadable(position: int) -> DamageError:
    return DamageError(
        f"the WAL cannot be read beyond {lsn_text(position)}, though there is more of it:"
        " what is later cannot be restored"
    )
