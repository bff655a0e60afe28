"""Programs run to their end, with a bare environment and a time limit."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Mapping, Sequence

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def run(
    command: Sequence[str],
    prefix: Sequence[str] = (),
    *,
    environment: Mapping[str, str] = ENVIRONMENT,
    limit: float,
) -> subprocess.CompletedProcess[str]:
    """``prefix``: what makes it run as another user. Raises OSError when it has no end within ``limit`` seconds."""
    try:
        return subprocess.run(
            [*prefix, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=dict(environment),
            cwd="/",
            umask=0o077,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OSError(errno.ETIMEDOUT, f"no end within {limit:.0f} s", command[0]) from None
