"""Room on the disk. A full one must not keep anybody from deleting, which is what makes room."""

from __future__ import annotations

import os
from pathlib import Path

BALLAST_BYTES = 4 << 20
"""Enough for the store and the route table while services are deleted; nothing beside one service's own files."""


def free_bytes(path: Path) -> int:
    """How much may be written on the disk that holds ``path``. Raises OSError."""
    facts = os.statvfs(path)
    return facts.f_bavail * facts.f_frsize


class Ballast:
    """A file that only takes room, until something that makes room needs it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_there(self) -> bool:
        return self._path.exists()

    def make(self) -> None:
        """Nothing is left of it when the disk has not room for all of it. Raises OSError."""
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(handle, 0, BALLAST_BYTES)
        except OSError:
            self._path.unlink()
            raise
        finally:
            os.close(handle)

    def release(self) -> bool:
        """Give its room away; whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
