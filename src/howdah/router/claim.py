"""That a router is the one of its status file: the lock beside it, and what the file says."""

from __future__ import annotations

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from howdah import __version__
from howdah.domain.errors import SetupError
from howdah.domain.routes import FORMAT_VERSION
from howdah.router.log import Log

LOOK_SECONDS = 1.0


class Claim:
    """``lock``: a descriptor of the lock, that the program before this one had, perhaps. ``patience``: seconds without
    the files after which the claim is lost. Raises SetupError, OSError."""

    def __init__(self, status_file: Path, lock: int | None, patience: float, log: Log) -> None:
        self._status_file = status_file
        self._lock_file = status_file.with_name(f"{status_file.name}.lock")
        self._patience = patience
        self._log = log
        self._port = 0
        self._said = False
        self._next_look = 0.0
        self._missing_since: float | None = None
        taken = _lock(self._lock_file) if lock is None else lock
        if taken is None:
            raise SetupError(f"another router writes {status_file}")
        self.lock = taken

    def say(self, port: int, *, insist: bool) -> None:
        """Writes the status file. Raises OSError, unless it need not be now: a router that goes on with connections
        writes it when that is possible again (``is_lost``)."""
        self._port = port
        try:
            self._write(port)
        except OSError as error:
            if insist:
                raise
            self._log.error("status_file_not_written", error=str(error))

    def _write(self, port: int) -> None:
        self._said = False
        status = {
            "pid": os.getpid(),
            "port": port,
            "version": __version__,
            "table": FORMAT_VERSION,
            "started_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        fresh = self._status_file.with_name(f"{self._status_file.name}.{os.getpid()}")
        fresh.write_text(json.dumps(status))
        fresh.replace(self._status_file)
        self._said = True

    def is_lost(self, now: float) -> bool:
        """Whether the files have been away, or another router's, for too long. Looks once a second, and writes them
        again when they have been deleted and can be written."""
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            if self._is_there() or self._is_back():
                self._missing_since = None
            elif self._missing_since is None:
                self._missing_since = now
                self._log.warning("status_file_gone", path=str(self._status_file), patience=self._patience)
        return self._missing_since is not None and now - self._missing_since >= self._patience

    def _is_there(self) -> bool:
        try:
            return (
                self._said
                and self._status_file.exists()
                and os.path.samestat(os.stat(self._lock_file), os.fstat(self.lock))
            )
        except OSError:
            return False

    def _is_back(self) -> bool:
        try:
            fresh = _lock(self._lock_file)
            if fresh is not None:
                os.close(self.lock)
                self.lock = fresh
            elif not os.path.samestat(os.stat(self._lock_file), os.fstat(self.lock)):
                return False  # another router has it
            self._write(self._port)
        except OSError:
            return False
        self._log.warning("status_file_restored", path=str(self._status_file))
        return True


def _lock(file: Path) -> int | None:
    """A lock that one router has for its whole life; None when another has it. Raises OSError."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
