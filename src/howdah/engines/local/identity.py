"""The identity of a data directory: a clone gets its own, so that no server accepts the WAL of another.

Layouts: src/include/catalog/pg_control.h (``ControlFileData``) and access/xlog_internal.h (``XLogLongPageHeaderData``)
of the version; the numbers are offsets in bytes on 64-bit little-endian machines.
"""

from __future__ import annotations

import os
import secrets
import struct
from dataclasses import dataclass
from pathlib import Path

from howdah.backup.crc32c import crc32c

_WAL_SYSID = 24
_VERSION = 8
_NONCE_LENGTH = 32


class UnknownLayoutError(Exception):
    """The control file is not laid out as any version known here."""


@dataclass(frozen=True, slots=True)
class _ControlLayout:
    nonce: int
    crc: int


_LAYOUTS = {1700: _ControlLayout(nonce=256, crc=288), 1800: _ControlLayout(nonce=257, crc=292)}
"""By pg_control_version."""


def new_identifier() -> int:
    """A fresh system identifier: 64 bits, not zero, positive as a signed number."""
    return secrets.randbits(62) + 1


def identifier_of(control: bytes) -> int:
    return int.from_bytes(control[:8], "little")


def with_identity(control: bytes, identifier: int, nonce: bytes) -> bytes:
    """``pg_control``'s content with this system identifier and authentication nonce (32 bytes).

    Raises UnknownLayoutError for an unknown version, or when its CRC is not where that version has it.
    """
    layout = _LAYOUTS.get(struct.unpack_from("<I", control, _VERSION)[0])
    if layout is None or crc32c(control[: layout.crc]) != struct.unpack_from("<I", control, layout.crc)[0]:
        raise UnknownLayoutError
    changed = bytearray(control)
    struct.pack_into("<Q", changed, 0, identifier)
    changed[layout.nonce : layout.nonce + _NONCE_LENGTH] = nonce
    struct.pack_into("<I", changed, layout.crc, crc32c(bytes(changed[: layout.crc])))
    return bytes(changed)


def give_identity(data: Path) -> int:
    """Give a clone of ours, not yet started and not yet synced, an identity of its own; returns it."""
    identifier = new_identifier()
    control = data / "global" / "pg_control"
    changed = with_identity(control.read_bytes(), identifier, secrets.token_bytes(_NONCE_LENGTH))
    _overwrite(control, 0, changed)
    for segment in (data / "pg_wal").iterdir():
        if len(segment.name) == 24 and segment.is_file():
            _overwrite(segment, _WAL_SYSID, struct.pack("<Q", identifier))
    return identifier


def _overwrite(path: Path, offset: int, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.pwrite(handle, content, offset)
    finally:
        os.close(handle)
