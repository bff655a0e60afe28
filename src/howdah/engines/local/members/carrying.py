"""WAL that a lost primary had and a standby lacks, brought to the standby before that takes over: from the former
primary's own directory, which has all that was acknowledged, or where that is gone from what the archive received."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from howdah.backup.errors import BackupError
from howdah.backup.wal import SEGMENT_BYTES
from howdah.domain.errors import Unavailable
from howdah.domain.instances import Instance
from howdah.engines.local.archiving.received import Received
from howdah.engines.local.machine import Machine
from howdah.engines.local.members.positions import Placed
from howdah.engines.local.members.replication import position

MOST = 64 << 20
"""Bytes of WAL that are brought to a standby; one that lacks more would take long to replay it."""

REPLAY_SECONDS = 10.0
"""How long it may take to replay them."""

Read = Callable[[int, int, int], tuple[str, bytes] | None]
"""Of the segment with that number, from that offset, at most so many bytes: its name and they; None: it is not there.
Blocks. Raises OSError."""

_PAGE = 8192
_CHUNK = 64 * _PAGE
_ADDRESS = struct.Struct("=8xQ")
"""xlp_pageaddr, in XLogPageHeaderData (Postgres' src/include/access/xlog_internal.h)."""

_QUIET_SECONDS, _POLL = 0.15, 0.005
"""A standby that has looked at its WAL again (``wal_retrieve_retry_interval``), some times over, and found no more."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole pages of a segment, the last one perhaps written in part."""

    name: str
    offset: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Carried:
    """How far a standby is now. everything: it has all that its former primary ever had on disk."""

    placed: Placed
    everything: bool = False


def pieces(read: Read, position: int) -> Iterator[Piece]:
    """What there is from the page of ``position`` (LSN) on, until a page that was not written, or was for what its file
    was before it was used again. Blocks. Raises as ``read``."""
    at = position - position % _PAGE
    while at < position + MOST:
        number, offset = divmod(at, SEGMENT_BYTES)
        found = read(number, offset, min(_CHUNK, SEGMENT_BYTES - offset))
        if found is None:
            return
        name, content = found
        good = _written(content, at)
        if good:
            yield Piece(name, offset, content[:good])
        at += good
        if good < len(content) or not content:
            if offset == good == 0 or any(content[good : good + _PAGE]):
                return
            at += SEGMENT_BYTES - at % SEGMENT_BYTES  # The rest of it was left empty (pg_switch_wal), or is to come.


def _written(content: bytes, at: int) -> int:
    """How many of the bytes are pages that belong where they are."""
    good = 0
    while good + _PAGE <= len(content) and _ADDRESS.unpack_from(content, good)[0] == at + good:
        good += _PAGE
    return good


async def carry(machine: Machine, former: Instance, received: Received | None, chosen: Placed) -> Carried:
    """Have the standby replay what it lacks. Where nothing can be brought it is as far as before."""
    own: Read = partial(machine.launcher.read_wal, former)
    for read in (own, received.read) if received is not None else (own,):
        try:
            there, last_page = await asyncio.to_thread(_bring, machine, read, chosen)
        except (BackupError, OSError):
            continue  # The directory is gone, or not as a server leaves it; the archive is out of reach.
        if last_page is not None:
            placed, ended = await _replayed(machine, chosen)
            # It may have stopped before that: at a damaged record, or at one of a timeline that it does not know.
            return Carried(placed, read is own and ended and placed.last > last_page)
        if there:
            return Carried(chosen, read is own)
    return Carried(chosen)


def _bring(machine: Machine, read: Read, chosen: Placed) -> tuple[bool, int | None]:
    """Whether the end of what the standby has is there, and where the last page begins of what it was brought (LSN);
    None when there was nothing beyond. Raises as ``read``."""
    there, last_page = False, None
    for piece in pieces(read, chosen.last):
        if not there and not any(piece.content[chosen.last % _PAGE :]):
            return True, None
        there = True
        machine.launcher.write_wal(chosen.member.instance, piece.name, piece.offset, piece.content)
        last_page = _ADDRESS.unpack_from(piece.content, len(piece.content) - _PAGE)[0]
    return there, last_page


async def _replayed(machine: Machine, chosen: Placed) -> tuple[Placed, bool]:
    """How far it is, and whether that is as far as it goes."""
    running = chosen.member.seen.running
    assert running is not None
    end = time.monotonic() + REPLAY_SECONDS
    last, since = chosen.last, time.monotonic()
    while time.monotonic() < end:
        try:
            now = await position(machine, chosen.member.instance, running.pid)
        except Unavailable:
            break
        if now.last > last:
            last, since = now.last, time.monotonic()
        if now.at_end and time.monotonic() - since > _QUIET_SECONDS:
            return Placed(chosen.member, last), True
        await asyncio.sleep(_POLL)
    return Placed(chosen.member, last), False
