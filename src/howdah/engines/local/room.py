"""Room on the disk that the data directories of all servers share."""

from __future__ import annotations

from contextlib import suppress

from howdah.backup.wal import SEGMENT_BYTES
from howdah.launcher.layout import Layout
from howdah.store.room import free_bytes

LEAST_BYTES = 2 * SEGMENT_BYTES
"""What a server needs to become a primary: a segment of WAL for its new timeline, and the next one."""


def free(layout: Layout) -> int:
    """Bytes that may be written. Raises OSError."""
    return free_bytes(layout.services)


def is_full(layout: Layout) -> bool:
    """Whether servers end for want of room, or soon will."""
    with suppress(OSError):
        return free(layout) < LEAST_BYTES
    return False
