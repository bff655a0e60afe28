"""How much disk a server may use: a quota of its OS user, where the file system of the state directory counts by user.

Only that file system: what a tenant writes to /tmp or /dev/shm is bounded by their size alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_COUNTED = frozenset({"usrquota", "uquota", "quota", "usrjquota"})
"""Mount options by which ext4, XFS and others hold users to quotas, see mount(8)."""
_FILES_PER_GIB = 1 << 16
"""One for each 16 KiB, the ratio that ext4 is made with."""


@dataclass(frozen=True, slots=True)
class Mount:
    """``point``: where it is mounted. ``options``: of the file system, names alone."""

    point: str
    options: frozenset[str]

    @staticmethod
    def of(path: Path, mountinfo: str) -> Mount:
        """That on which ``path`` lies (which need not exist), from the text of /proc/self/mountinfo, see proc(5)."""
        best = Mount("/", frozenset())
        for line in mountinfo.splitlines():
            mounted, _, source = line.partition(" - ")
            point = _unescaped(mounted.split()[4])
            # Of several at one point the last hides the others.
            if path.is_relative_to(point) and len(point) >= len(best.point):
                options = source.split()[2].split(",")
                best = Mount(point, frozenset(option.partition("=")[0] for option in options))
        return best


def limit(state: Path, uid: int, storage_gib: int) -> None:
    """Hold an OS user to this much storage, and to as many files as go with it. Raises OSError."""
    _set(state, uid, kibibytes=storage_gib << 20, files=storage_gib * _FILES_PER_GIB)


def lift(state: Path, uid: int) -> None:
    """An OS user that has no limit any more. Raises OSError."""
    _set(state, uid, kibibytes=0, files=0)


def missing(state: Path) -> str | None:
    """Why there are no quotas here; None when there are."""
    mount = _mount(state)
    if not mount.options & _COUNTED:
        return f"the file system of {state} (mounted at {mount.point}) has no user quotas on; mount option usrquota"
    if shutil.which("setquota", path=_PATH) is None:
        return "setquota not found; apt-get install quota"
    return None


def _set(state: Path, uid: int, *, kibibytes: int, files: int) -> None:
    """Hard limits alone: a soft one only warns those who read mail."""
    command = ["setquota", "-u", str(uid), "0", str(kibibytes), "0", str(files), _mount(state).point]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
            timeout=30,
            check=False,
        )
    except FileNotFoundError:
        raise OSError("setquota not found; apt-get install quota") from None
    except subprocess.TimeoutExpired:
        raise OSError("setquota has not ended within 30 s") from None
    if done.returncode != 0:
        raise OSError(f"the quota of uid {uid} cannot be set: {done.stderr.strip()[-300:]}")


def _mount(state: Path) -> Mount:
    return Mount.of(Path(os.path.realpath(state)), Path("/proc/self/mountinfo").read_text())


def _unescaped(text: str) -> str:
    """Spaces and the like are octal there."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
