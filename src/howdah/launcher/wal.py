"""WAL of a server that has ended for one that is to take its place: read from one instance, written to another.

Both directories are their tenants': nothing in them is followed, and only plain files of their own are touched.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from howdah.backup.wal import SEGMENT_BYTES, Segment

LONGEST = 1 << 20
"""Bytes that are read or written at a time."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read_wal(data: Path, owner: int, number: int, offset: int, most: int) -> tuple[str, bytes] | None:
    """The name of the segment with that number, of the newest timeline, and at most ``most`` bytes of it from
    ``offset``; None when there is none. Raises OSError."""
    with _wal_of(data, owner) as directory:
        found = [one for name in os.listdir(directory) if (one := Segment.parse(name)) and one.number == number]
        if not found:
            return None
        name = max(found).name
        handle = os.open(name, os.O_RDONLY | _FILE, dir_fd=directory)
        try:
            _check(handle, owner)
            return name, os.pread(handle, min(most, LONGEST), offset)
        finally:
            os.close(handle)


def write_wal(data: Path, owner: int, name: str, offset: int, content: bytes) -> None:
    """Put ``content`` at ``offset`` into a segment, which is made where it is not there. Durable. Raises OSError,
    ValueError for what is no part of a segment."""
    if Segment.parse(name) is None or not 0 <= offset <= SEGMENT_BYTES - len(content):
        raise ValueError(f"{len(content)} bytes at {offset} are no part of a segment {name!r}")
    with _wal_of(data, owner) as directory:
        handle = _open(directory, name, owner)
        try:
            os.pwrite(handle, content, offset)
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _wal_of(data: Path, owner: int) -> Generator[int]:
    parent = os.open(data, _DIRECTORY)
    try:
        directory = os.open("pg_wal", _DIRECTORY, dir_fd=parent)
    finally:
        os.close(parent)
    try:
        if os.fstat(directory).st_uid != owner:
            raise PermissionError(f"{data}/pg_wal is not the server's own")
        yield directory
    finally:
        os.close(directory)


def _open(directory: int, name: str, owner: int) -> int:
    try:
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=directory)
    except FileExistsError:
        handle = os.open(name, os.O_RDWR | _FILE, dir_fd=directory)
        try:
            _check(handle, owner)
        except OSError:
            os.close(handle)
            raise
        return handle
    os.ftruncate(handle, SEGMENT_BYTES)
    if os.geteuid() == 0:
        os.fchown(handle, owner, owner)
    return handle


def _check(handle: int, owner: int) -> None:
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_uid != owner:
        raise PermissionError("a segment is not a plain file of the server's own")
    if facts.st_size != SEGMENT_BYTES:
        raise OSError(f"a segment has {facts.st_size} bytes")
