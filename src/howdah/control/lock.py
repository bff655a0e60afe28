"""One control plane per state directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from howdah.domain.errors import SetupError


@contextmanager
def hold(file: Path) -> Generator[None]:
    """Holds the lock; the kernel frees it when the process ends, however it ends.

    Raises SetupError naming the process that holds it.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupError(f"{file} cannot be opened: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            raise SetupError(
                f"another Howdah (pid {holder}) serves {file.parent}: stop it, or choose another --state"
            ) from None
        _say_who(descriptor)
        yield
    finally:
        os.close(descriptor)


def _say_who(descriptor: int) -> None:
    """Always of one length, so that it fits where another was, on a full disk too."""
    try:
        os.pwrite(descriptor, f"{os.getpid():<19}\n".encode(), 0)
    except OSError:
        os.ftruncate(descriptor, 0)
