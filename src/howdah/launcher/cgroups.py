"""A control group (cgroup v2) for each server: its processes and memory together, where the machine lets us have one.

Two places are ours to divide. Under systemd the unit's own group, when it was delegated to us and we were started in a
subgroup of it (``Delegate=yes`` and ``DelegateSubgroup=``, systemd 254): in the group itself we may not be, because one
that passes controllers on has no processes, and systemd could not start the unit there again while servers live on.
And the top of what we can see, when we are in it: of a container, or of a machine where nobody else manages groups.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path

from howdah.launcher.limits import Limits
from howdah.launcher.place import Place

CONTROLLERS = ("pids", "memory")
_GROUP, _LEAF = "howdah", "howdah-control"
_SYSTEMD = Path("/run/systemd/system")
_ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


def prepare() -> Path:
    """The group below which servers get theirs; made, with its controllers, when it is not there. As root.

    Raises OSError with the reason when there can be none.
    """
    base = _base()
    if (base / "cgroup.type").exists() and base == _must_have_place().mount:
        _move_all(base, base / _LEAF)
    group = base / _GROUP
    group.mkdir(exist_ok=True)
    for parent in (base, group):
        _write(parent / "cgroup.subtree_control", " ".join(f"+{name}" for name in CONTROLLERS))
    return group


def missing() -> str | None:
    """Why servers cannot have control groups; None when they can. Changes nothing."""
    try:
        _base()
    except OSError as error:
        return str(error)
    return None


def make(group: Path, name: str, limits: Limits) -> Path:
    """The control group of one server, with its limits; one that is there gets them anew. Raises OSError."""
    directory = group / name
    directory.mkdir(exist_ok=True)
    if limits.processes is not None:
        _write(directory / "pids.max", str(limits.processes))
    if limits.total_memory_bytes is not None:
        _write(directory / "memory.max", str(limits.total_memory_bytes))
    return directory


def prefix(directory: Path) -> list[str]:
    """The command that enters a control group and goes on with the command behind it. As root, before all others."""
    return ["/bin/sh", "-c", _ENTER, str(directory)]


def kill(directory: Path, *, limit: float = 5.0) -> bool:
    """Kill every process in it at once, and wait for their end; one that is gone is fine.

    False when some are left after ``limit`` seconds, or when the kernel cannot do it (before Linux 5.14).
    """
    try:
        _write(directory / "cgroup.kill", "1")
        end = time.monotonic() + limit
        while "populated 1" in (directory / "cgroup.events").read_text():
            if time.monotonic() > end:
                return False
            time.sleep(0.005)  # a bounded poll: its processes are not all known, so none can be waited for
    except FileNotFoundError:
        return not directory.exists()
    return True


def remove(directory: Path) -> None:
    """Remove the group of a server that is no more. Raises OSError when a process is left in it."""
    with contextlib.suppress(FileNotFoundError):
        directory.rmdir()


def _base() -> Path:
    base = _divisible(_must_have_place())
    if base is None:
        raise OSError(
            "this process is in a control group that is somebody else's; started by systemd 254 or later with"
            " Delegate=yes and DelegateSubgroup=control it has one to divide"
        )
    offered = (base / "cgroup.controllers").read_text().split()
    if absent := [name for name in CONTROLLERS if name not in offered]:
        raise OSError(f"{base} lacks the controllers {' and '.join(absent)} (cgroup v1 may have them)")
    if not os.access(base / "cgroup.procs", os.W_OK):
        raise OSError(f"{base} cannot be written")
    return base


def _must_have_place() -> Place:
    if (place := Place.own()) is None:
        raise OSError("this machine has no cgroup v2, or this process cannot see it")
    return place


def _divisible(place: Place) -> Path | None:
    """The group that we may divide; None when this is somebody else's."""
    if place.path == ".":
        return None if _SYSTEMD.exists() else place.mount
    parent = place.mount / Path(place.path).parent
    return parent if _is_delegated(parent) else None


def _is_delegated(directory: Path) -> bool:
    """systemd says so in an attribute."""
    try:
        return os.getxattr(directory, "user.delegate") == b"1"
    except OSError:
        return False


def _move_all(source: Path, target: Path) -> None:
    """A group that passes controllers on has no processes itself; new ones may come while we move them."""
    target.mkdir(exist_ok=True)
    for _ in range(10):
        pids = (source / "cgroup.procs").read_text().split()
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                _write(target / "cgroup.procs", pid)
    raise OSError(errno.EBUSY, f"processes keep being started in {source}")


def _write(file: Path, content: str) -> None:
    """One write, as the kernel wants it; it creates nothing."""
    handle = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, content.encode())
    finally:
        os.close(handle)
