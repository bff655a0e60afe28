"""What the kernel says about processes. Nothing here is taken from a file that a tenant can write."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_DELETED = " (deleted)"
_KIB = (b"RssAnon", b"RssShmem")


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """One process. ``started``: clock ticks since boot; with the pid it names one process for ever.
    ``state``: the kernel's letter (T: stopped, Z: a zombie)."""

    pid: int
    started: int
    state: str
    uid: int
    executable: str
    directory: str
    arguments: tuple[str, ...]


def inspect_process(pid: int) -> ProcessFacts | None:
    """The facts of a process; None when there is none, it is a zombie, or it may not be looked at."""
    try:
        fields = _stat(pid)
        if fields[0] in "ZX":
            return None
        arguments = arguments_of(pid)
        return ProcessFacts(
            pid=pid,
            started=int(fields[19]),
            state=fields[0],
            uid=os.stat(f"/proc/{pid}").st_uid,
            executable=os.readlink(f"/proc/{pid}/exe").removesuffix(_DELETED),
            directory=os.readlink(f"/proc/{pid}/cwd").removesuffix(_DELETED),
            arguments=tuple(arguments),
        )
    except OSError:
        return None


def _stat(pid: int) -> list[str]:
    """The fields from the third on, see proc(5)."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read(4096).rpartition(b")")[2].decode().split()


def state_of(pid: int) -> str | None:
    """The kernel's letter for what a process does; None when it is gone."""
    try:
        return _stat(pid)[0]
    except OSError:
        return None


def started_at(pid: int) -> int:
    """When a process began, in clock ticks since boot. Raises FileNotFoundError, ProcessLookupError."""
    return int(_stat(pid)[19])


@dataclass(frozen=True, slots=True)
class CpuTicks:
    """CPU of a process and of its children that have ended, and when it began, in clock ticks."""

    user: int
    system: int
    started: int


def cpu_ticks(pid: int) -> CpuTicks:
    """Raises FileNotFoundError, ProcessLookupError."""
    fields = _stat(pid)
    user, system, of_children_user, of_children_system = map(int, fields[11:15])
    return CpuTicks(user + of_children_user, system + of_children_system, int(fields[19]))


def memory_of(pid: int) -> tuple[int, int]:
    """Bytes in memory that a process has alone, and that it shares with others, files left out. Raises OSError."""
    with open(f"/proc/{pid}/status", "rb") as file:
        lines = file.read(8192).split(b"\n")
    kib = {name: int(value.split()[0]) for name, _, value in (line.partition(b":") for line in lines) if name in _KIB}
    return kib.get(b"RssAnon", 0) << 10, kib.get(b"RssShmem", 0) << 10


def uid_of(pid: int) -> int:
    """Raises FileNotFoundError."""
    return os.stat(f"/proc/{pid}").st_uid


def title(pid: int) -> str:
    """What a process shows as its command; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read(4096).partition(b"\0")[0].decode(errors="replace").strip()
    except OSError:
        return ""


def arguments_of(pid: int) -> list[str]:
    """The command line of a process; nothing when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read(65536).decode(errors="replace").split("\0")
    except OSError:
        return []


def all_pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def pids_of_user(uid: int) -> list[int]:
    """Every process that runs with the real, effective, saved or file system uid ``uid``; zombies left out."""
    found: list[int] = []
    for pid in all_pids():
        try:
            with open(f"/proc/{pid}/status", "rb") as file:
                lines = file.read(4096).split(b"\n")
        except OSError:
            continue
        fields = {name: value.split() for name, _, value in (line.partition(b":") for line in lines)}
        if str(uid).encode() in fields.get(b"Uid", ()) and fields[b"State"][0] != b"Z":
            found.append(pid)
    return found


def pids_in_directories(directories: Iterable[str]) -> list[int]:
    """Every process whose working directory is one of ``directories`` or below it, but for those at a terminal: a
    person who looks around there."""
    roots = tuple(directories)
    found: list[int] = []
    for pid in all_pids():
        try:
            directory = os.readlink(f"/proc/{pid}/cwd").removesuffix(_DELETED)
            state, terminal = (fields := _stat(pid))[0], fields[4]
        except OSError:
            continue
        inside = any(directory == root or directory.startswith(root + "/") for root in roots)
        if inside and state not in "ZX" and terminal == "0":
            found.append(pid)
    return found


def ipc_of(uid: int) -> list[tuple[str, int]]:
    """What ``uid`` owns of System V: its kind (shm, sem, msg) and id."""
    found: list[tuple[str, int]] = []
    for kind in ("shm", "sem", "msg"):
        with open(f"/proc/sysvipc/{kind}") as file:
            names, *rows = (line.split() for line in file)
        found += [(kind, int(row[1])) for row in rows if int(row[names.index("uid")]) == uid]
    return found


def children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def has_ended(handle: int) -> bool:
    """Whether the process of a pidfd is gone."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(0))
