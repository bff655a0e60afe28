"""The creation of a tablespace in WAL that is to be replayed elsewhere, turned into one inside of the data directory.

As it is, its replay would write where the tablespace was made, which is another server's. Layouts: Postgres'
src/include/access/xlogrecord.h, xlog_internal.h, and commands/tablespace.h (``xl_tblspc_create_rec``); the numbers are
offsets in bytes on 64-bit little-endian machines.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from howdah.backup.crc32c import crc32c
from howdah.backup.errors import DamageError
from howdah.backup.wal import SEGMENT_BYTES, Segment, lsn_text

_PAGE = 8192
_LONG_PAGE_HEADER, _PAGE_HEADER = 40, 24
_RECORD_HEADER = 24
_CRC = 20
_LARGEST = 8192
"""Bytes of such a record, which has a path and little else."""

_BEFORE_DATA = {255: 2, 254: 5, 253: 3, 252: 5}
"""Bytes of what stands before a record's data by the first of them: a short or a long length, which ends it; an origin;
a top transaction."""
_LENGTHS = (255, 254)


def make_in_place(wal: Path, wal_timeline: int, position: int) -> None:
    """Empty the path in the record at ``position``, which is in the segments that lie in ``wal``.

    Raises DamageError for a record that is none of a tablespace's creation.
    """
    where = f"the WAL record at {lsn_text(position)}"
    (length,) = struct.unpack("<I", _read(wal, wal_timeline, position, 4))
    if not _RECORD_HEADER < length <= _LARGEST:
        raise DamageError(f"{where} cannot be one of a tablespace: it has {length} bytes")
    record = bytearray(_read(wal, wal_timeline, position, length))
    if struct.unpack_from("<I", record, _CRC)[0] != _checksum(record):
        raise DamageError(f"{where} is damaged: its checksum is wrong")
    path = _data_begins(record, where) + 4  # behind the tablespace's OID
    record[path:] = bytes(length - path)
    struct.pack_into("<I", record, _CRC, _checksum(record))
    _write(wal, wal_timeline, position, record)


def _checksum(record: bytes | bytearray) -> int:
    return crc32c(bytes(record[_RECORD_HEADER:]) + bytes(record[:_CRC]))


def _data_begins(record: bytes | bytearray, where: str) -> int:
    at = _RECORD_HEADER
    while at < len(record) and (kind := record[at]) in _BEFORE_DATA:
        at += _BEFORE_DATA[kind]
        if kind in _LENGTHS:
            return at
    raise DamageError(f"{where} is not the creation of a tablespace")


def _read(wal: Path, wal_timeline: int, position: int, length: int) -> bytes:
    content = b""
    for path, offset, part in _pieces(wal, wal_timeline, position, length):
        with path.open("rb") as file:
            file.seek(offset)
            content += file.read(part)
    if len(content) != length:
        raise DamageError(f"the WAL record at {lsn_text(position)} is cut off")
    return content


def _write(wal: Path, wal_timeline: int, position: int, content: bytes | bytearray) -> None:
    done = 0
    for path, offset, part in _pieces(wal, wal_timeline, position, len(content)):
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(content[done : done + part])
        done += part


def _pieces(wal: Path, wal_timeline: int, position: int, length: int) -> Iterator[tuple[Path, int, int]]:
    """The parts of a record: file, offset in it, length. Every page begins with a header that is none of its."""
    while length:
        offset = position % SEGMENT_BYTES
        if position % _PAGE == 0:
            skipped = _LONG_PAGE_HEADER if offset == 0 else _PAGE_HEADER
            position, offset = position + skipped, offset + skipped
        part = min(length, _PAGE - position % _PAGE)
        path = wal / Segment.at(wal_timeline, position).name
        if not path.exists():
            raise DamageError(f"the WAL segment {path.name} is missing")
        yield path, offset, part
        position, length = position + part, length - part
