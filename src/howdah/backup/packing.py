"""How WAL is packed in the archive: zstd frames with checksums, one for each part of a segment that came at once."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

from howdah.backup.errors import DamageError

_LEVEL = 1
_BLOCK = 1024 * 1024
_PAGE = 8192


@dataclass(slots=True)
class Packing:
    """One segment, packed as it is received, so that each byte is packed once however often it is put into the archive.

    content: what is packed so far. stored: how many bytes of that are in the archive. length: how many bytes of the
    segment are packed.
    """

    content: bytes = b""
    stored: int = 0
    length: int = 0
    _sum: int = 0
    _inode: int | None = None

    def grow(self, path: Path) -> None:
        """Take what has been received since the last call. Raises OSError.

        Its receiver fills a segment up with zeros and then writes from its beginning to its end.
        """
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if (inode := os.fstat(handle).st_ino) != self._inode:
                self._begin_anew()
                self._inode = inode
            received = _received(handle, self.length)
            # Read only now: what is before a byte that is there has been written, though maybe after the look at it.
            self._take(handle, received)
        finally:
            os.close(handle)

    def complete(self, path: Path) -> None:
        """Take the rest of a segment that has been received as a whole. Raises OSError."""
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(handle).st_size
            if size < self.length or _sum(handle, self.length) != self._sum:
                self._begin_anew()  # It was not the same file that grew.
            self._take(handle, size)
        finally:
            os.close(handle)

    def _begin_anew(self) -> None:
        self.content, self.stored, self.length, self._sum = b"", 0, 0, 0

    def _take(self, handle: int, until: int) -> None:
        """One frame of what is there before ``until``."""
        if until <= self.length:
            return
        frame = _compressor().compressobj(size=until - self.length)
        parts, known = [self.content], self._sum
        for block in _blocks(handle, self.length, until):
            parts.append(frame.compress(block))
            known = zlib.crc32(block, known)
        self.content, self.length, self._sum = b"".join((*parts, frame.flush())), until, known


def received_bytes(path: Path, since: int = 0) -> int:
    """How much of a segment that is being received has come, of which ``since`` is known to have. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _received(handle, since)
    finally:
        os.close(handle)


def pack(content: bytes) -> bytes:
    """One frame."""
    return _compressor().compress(content)


def _compressor() -> zstandard.ZstdCompressor:
    # With a checksum: what has changed in the archive is found when it is read.
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=True)


def unpack(packed: bytes, key: str, most: int | None = None) -> bytes:
    """All frames. Raises DamageError, also for more than ``most`` bytes."""
    parts: list[bytes] = []
    size = 0
    try:
        while packed:
            if (frame_size := zstandard.frame_content_size(packed)) < 0:
                raise DamageError(f"{key} is damaged: it does not say how much is in it")
            size += frame_size
            if most is not None and size > most:
                raise DamageError(f"{key} is damaged: it has more than {most} bytes")
            frame = zstandard.ZstdDecompressor().decompressobj()
            parts.append(frame.decompress(packed))
            if not frame.eof:
                raise DamageError(f"{key} is damaged: it ends too early")
            packed = frame.unused_data
    except zstandard.ZstdError as error:
        raise DamageError(f"{key} is damaged: {error}") from None
    return b"".join(parts)


def _received(handle: int, since: int) -> int:
    """Where that ends which has been received, which is not before ``since``.

    Each page of WAL begins with a number that is not zero (``xlp_magic``, Postgres' access/xlog_internal.h): the first
    page without it has not come yet. To look for zeros from the end would read all of a segment each time.
    """
    end = _first_missing_page(handle, since - since % _PAGE)
    last = _read(handle, max(0, end - _PAGE), end)
    return max(since, end - len(last) + len(last.rstrip(b"\0")))


def _first_missing_page(handle: int, begin: int) -> int:
    size = os.fstat(handle).st_size
    for position in range(begin, size, _BLOCK):
        block = _read(handle, position, min(size, position + _BLOCK))
        for at in range(0, len(block), _PAGE):
            if not any(block[at : at + 2]):
                return position + at
    return size


def _sum(handle: int, until: int) -> int:
    found = 0
    for block in _blocks(handle, 0, until):
        found = zlib.crc32(block, found)
    return found


def _blocks(handle: int, begin: int, end: int) -> Iterator[bytes]:
    """Never a whole segment at once: many are packed at the same time."""
    for position in range(begin, end, _BLOCK):
        yield _read(handle, position, min(end, position + _BLOCK))


def _read(handle: int, begin: int, end: int) -> bytes:
    return os.pread(handle, end - begin, begin)
