"""The processes of a state directory: control plane, router, servers. Found by what the kernel says of them."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import select
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from howdah.control.paths import lock_file, router_directory
from howdah.launcher.processes import all_pids, children, inspect_process, pids_in_directories, uid_of


@dataclass(frozen=True, slots=True)
class Server:
    """A running Postgres. ``pid``: its postmaster."""

    pid: int
    service: str
    data: Path


def control_plane(state: Path) -> int | None:
    """The pid of the control plane that holds the state directory; None when none does."""
    try:
        descriptor = os.open(lock_file(state), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def _holder(descriptor: int) -> int | None:
    """Who says in the lock that it holds it; nobody but its owner could, and only the owner's processes are meant."""
    try:
        pid = int(os.pread(descriptor, 20, 0))
        return pid if pid > 0 and uid_of(pid) == os.fstat(descriptor).st_uid else None
    except (OSError, ValueError):
        return None


def routers(state: Path) -> list[int]:
    """The router of the state directory, if it runs, with its workers."""
    directory = os.path.realpath(router_directory(state))
    found: list[int] = []
    for pid in all_pids():
        facts = inspect_process(pid)
        if facts is None or "howdah.router" not in facts.arguments:
            continue
        if any(os.path.dirname(os.path.realpath(argument)) == directory for argument in facts.arguments[1:]):
            found.append(pid)
    return found


def abandoned_routers() -> set[Path]:
    """The state directories that have been deleted under a router that still runs."""
    found: set[Path] = set()
    for pid in all_pids():
        facts = inspect_process(pid)
        if facts is None or "howdah.router" not in facts.arguments:
            continue
        options = dict(itertools.pairwise(facts.arguments))
        directory = Path(options.get("--status-file", "/")).parent
        if not directory.exists():
            found.add(directory.parent)
    return found


def router_ports(state: Path) -> list[int]:
    """The ports of the routers that run."""
    try:
        status = json.loads((router_directory(state) / "status.json").read_bytes())
    except (OSError, ValueError):
        return []
    return [int(status["port"])] if status.get("pid") in routers(state) else []


def servers(state: Path) -> list[Server]:
    """Every postmaster that works in a data directory of ``state``."""
    found: list[Server] = []
    for data in sorted(Path(os.path.realpath(state)).glob("services/*/*/data")):
        pids = {pid for pid in pids_in_directories([str(data)]) if _is_postgres(pid)}
        found += [Server(pid, data.parent.parent.name, data) for pid in sorted(pids) if _parent(pid) not in pids]
    return found


def receivers(state: Path) -> list[int]:
    """Every process that receives WAL for the archive of ``state``."""
    spools = f"--directory={os.path.realpath(state)}/spool/"
    found: list[int] = []
    for pid in all_pids():
        facts = inspect_process(pid)
        if facts is not None and any(argument.startswith(spools) for argument in facts.arguments):
            found.append(pid)
    return found


def end(pids: Iterable[int], how: signal.Signals, *, within: float) -> list[int]:
    """Signals the processes and waits for them; those that are left after ``within`` seconds."""
    left = {pid: handle for pid in pids if (handle := _open(pid)) is not None}
    for handle in left.values():
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, how)
    for pid in left:
        _resume(pid)
    poller = select.poll()
    for handle in left.values():
        poller.register(handle, select.POLLIN)  # a pidfd is readable once its process has ended
    deadline = time.monotonic() + within
    while left and (remaining := deadline - time.monotonic()) > 0:
        ended = {handle for handle, _ in poller.poll(remaining * 1000)}
        for pid in [pid for pid, handle in left.items() if handle in ended]:
            poller.unregister(left[pid])
            os.close(left.pop(pid))
    for handle in left.values():
        os.close(handle)
    return list(left)


def _resume(pid: int) -> None:
    """One that is suspended (SIGSTOP) would not end, nor would one that waits for a child that is."""
    for one in (pid, *children(pid)):
        if (handle := _open(one)) is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGCONT)
            os.close(handle)


def _open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _is_postgres(pid: int) -> bool:
    facts = inspect_process(pid)
    return facts is not None and Path(facts.executable).name == "postgres"


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return 0
