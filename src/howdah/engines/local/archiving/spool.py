"""Where WAL and base backups of one timeline wait for the archive: ``<state>/spool/<timeline>/``."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from howdah.backup.packing import received_bytes
from howdah.backup.wal import HISTORY, PARTIAL, SEGMENT_BYTES, Segment


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a receiver has written. complete: whole segments, in order; growing: the one that it writes now; left: those
    in which a timeline of its server ended."""

    complete: tuple[Segment, ...]
    growing: Segment | None
    histories: tuple[str, ...]
    size: int
    left: tuple[Segment, ...] = ()

    @property
    def newest(self) -> Segment | None:
        last = self.complete[-1] if self.complete else None
        return self.growing if last is None or (self.growing is not None and self.growing > last) else last


@dataclass(frozen=True, slots=True)
class Spool:
    home: Path

    @property
    def wal(self) -> Path:
        return self.home / "wal"

    @property
    def base(self) -> Path:
        return self.home / "base"

    @property
    def log(self) -> Path:
        """What the receiver says."""
        return self.home / "receiver.log"

    def make(self) -> None:
        """Ready for a receiver, which refuses a segment that an earlier one did not come to fill up with zeros. Raises
        OSError."""
        self.wal.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self.wal.glob("*" + PARTIAL):
            if path.stat().st_size not in (0, SEGMENT_BYTES):
                facts = path.stat()
                os.truncate(path, SEGMENT_BYTES)
                os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    def waiting(self) -> Waiting:
        """Raises OSError."""
        complete: list[Segment] = []
        partial: list[Segment] = []
        histories: list[str] = []
        size = 0
        for entry in os.scandir(self.wal) if self.wal.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                size += entry.stat().st_size
            segment = Segment.parse(entry.name.removesuffix(PARTIAL))
            if segment is None:
                histories += [entry.name] if HISTORY.fullmatch(entry.name) else []
            elif entry.name.endswith(PARTIAL):
                partial.append(segment)
            else:
                complete.append(segment)
        *left, growing = sorted(partial) or [None]
        return Waiting(
            tuple(sorted(complete)), growing, tuple(sorted(histories)), size, tuple(one for one in left if one)
        )

    def missing(self, waiting: Waiting, archived: int | None) -> int:
        """Bytes of WAL that are here and not in the archive, which has everything until ``archived`` (LSN; None: nobody
        knows). Raises OSError."""
        newest = waiting.newest
        if archived is None or newest is None:
            return waiting.size
        with contextlib.suppress(FileNotFoundError):  # It has become whole meanwhile.
            if newest == waiting.growing:
                since = max(0, archived - newest.start)
                return max(0, newest.start + received_bytes(self.partial(newest), since) - archived)
        return max(0, newest.next().start - archived)

    def newest_at(self) -> datetime | None:
        """When the receiver has written last; None when nothing is here. Raises OSError."""
        times: list[float] = []
        for entry in os.scandir(self.wal) if self.wal.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                times.append(entry.stat().st_mtime)
        return datetime.fromtimestamp(max(times), UTC) if times else None

    def whole(self, segment: Segment) -> Path:
        return self.wal / segment.name

    def partial(self, segment: Segment) -> Path:
        return self.wal / (segment.name + PARTIAL)

    def mark(self, growing: Segment | None) -> tuple[int, ...]:
        """Changes when the receiver has written something or said something; takes a few microseconds.
        growing: the segment that it writes, as far as that is known."""
        # Plain strings: this is asked of every service once a second, and paths are dear.
        home = str(self.home)
        # The segment that grows is renamed once it is complete; its directory is asked only where there is none.
        written = f"{home}/wal" if growing is None else f"{home}/wal/{growing.name}{PARTIAL}"
        return _modified(written), _modified(f"{home}/receiver.log")

    def begin_anew(self) -> None:
        """Forget the WAL that is here: the server cannot go on from it. Raises OSError."""
        shutil.rmtree(self.wal)
        self.make()

    def remove(self) -> None:
        """Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.home)


def is_full(directory: Path) -> bool:
    """Whether its disk has no room for another segment."""
    try:
        return shutil.disk_usage(directory).free < SEGMENT_BYTES
    except FileNotFoundError:
        return False


def _modified(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
