"""WAL by name: segments of 16 MiB, partial ones, histories. Names and numbers as in Postgres'
src/include/access/xlog_internal.h."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

SEGMENT_BYTES = 16 * 1024 * 1024
_PER_LOG = 0x1_0000_0000 // SEGMENT_BYTES
_NAME = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
_SYSTEM_IDENTIFIER = struct.Struct("=24xQ")
"""In XLogLongPageHeaderData, with which each segment begins, after the 24 bytes that every page has."""
HISTORY = re.compile(r"[0-9A-F]{8}\.history")
PARTIAL = ".partial"
ARCHIVED = "archived_wal"
"""Where the WAL to replay lies in a data directory; it can be deleted once the server has been promoted."""


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of WAL. ``number``: counted from the beginning of all WAL."""

    wal_timeline: int
    number: int

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """None when ``name`` is no segment's; one that is partial is not."""
        found = _NAME.fullmatch(name)
        if found is None or int(found[3], 16) >= _PER_LOG:
            return None
        return cls(int(found[1], 16), int(found[2], 16) * _PER_LOG + int(found[3], 16))

    @classmethod
    def at(cls, wal_timeline: int, position: int) -> Self:
        """The segment that has the byte at ``position``."""
        return cls(wal_timeline, position // SEGMENT_BYTES)

    @property
    def name(self) -> str:
        return f"{self.wal_timeline:08X}{self.number // _PER_LOG:08X}{self.number % _PER_LOG:08X}"

    @property
    def start(self) -> int:
        return self.number * SEGMENT_BYTES

    def next(self) -> Self:
        return type(self)(self.wal_timeline, self.number + 1)


@dataclass(frozen=True, slots=True)
class StoredWal:
    """A segment in an archive. ``partial``: more of it was still to come when it was put."""

    segment: Segment
    partial: bool
    stored_bytes: int
    modified: datetime


def lsn(text: str) -> int:
    """The position that ``16/B374D848`` spells."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def lsn_text(position: int) -> str:
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def written_by(path: Path) -> int | None:
    """The system identifier of the cluster that wrote a segment; None while its first page is not there yet.
    Raises OSError."""
    with path.open("rb") as file:
        page = file.read(_SYSTEM_IDENTIFIER.size)
    (found,) = _SYSTEM_IDENTIFIER.unpack(page.ljust(_SYSTEM_IDENTIFIER.size, b"\0"))
    return found or None


def history_name(wal_timeline: int) -> str:
    return f"{wal_timeline:08X}.history"


def switches(history: str) -> Iterator[tuple[int, int]]:
    """Each earlier timeline of a history file and the position at which it was left, oldest first."""
    for line in history.splitlines():
        fields = line.split()
        if len(fields) >= 2 and fields[0].isdigit():
            yield int(fields[0]), lsn(fields[1])
