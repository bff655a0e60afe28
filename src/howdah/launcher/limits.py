"""What one server may take of the machine, by resource limits: ``prlimit`` and ``choom`` before its first program.

They hold where no cgroup can be had, and they hold for everything that a server starts. No number here is reached by a
server at work: each ends what would take the machine from the others.
"""

from __future__ import annotations

import resource
import shutil
from dataclasses import dataclass
from pathlib import Path

from howdah.domain.catalog import Size
from howdah.launcher.memory import machine_memory

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_RESOURCES = {
    "nproc": resource.RLIMIT_NPROC,
    "nofile": resource.RLIMIT_NOFILE,
    "data": resource.RLIMIT_DATA,
    "core": resource.RLIMIT_CORE,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """``processes``: of the OS user, threads too; None: not limited. ``open_files`` and ``memory_bytes`` (private
    writable memory): of each process. ``core``: bytes of a core file. ``oom_score_adj``: see proc(5).
    ``total_memory_bytes``: of all processes together, files in the page cache too; only a control group can hold it.
    """

    processes: int | None
    open_files: int
    memory_bytes: int | None
    core: int = 0
    oom_score_adj: int = 500
    total_memory_bytes: int | None = None


def limits_for(size: Size, *, max_connections: int, own_user: bool) -> Limits:
    """The limits of a server; ``own_user``: it has an OS user that is nobody else's.

    - Processes are counted by OS user, so one that belongs to a person is not limited. Three for each connection: it,
      the shell and the program of a COPY … PROGRAM. 512 for the rest, which a superuser can raise: max_worker_processes
      (8 of its own accord, parallel workers among them), autovacuum workers (up to 16), WAL senders (10), I/O workers
      (up to 32), Postgres' own dozen.
    - Files: Postgres keeps at most max_files_per_process (1000) open in a process, and takes what it gets.
    - Memory: what the size promises, but at most half of the machine's, so that one runaway query ends with "out of
      memory", its session alive, before the kernel has to kill something. Shared memory does not count. For all
      processes together what the size promises, but at most three quarters of the machine's.
    - No POSIX message queues: Postgres has none, and nobody could find those that a deleted server left behind.
    - A core file would fill the disk with what others must not read.
    - When memory runs out all the same, servers go first: not the control plane, the router or the rest of the machine.
      What root has raised, a server cannot lower; unless root lacks CAP_SYS_RESOURCE, as in some containers.
    """
    promised, machine = size.memory_gib << 30, machine_memory()
    return Limits(
        processes=512 + 3 * max_connections if own_user else None,
        open_files=4096,
        memory_bytes=min(promised, machine // 2),
        total_memory_bytes=min(promised, machine * 3 // 4),
    )


def prefix(limits: Limits) -> list[str]:
    """The command that sets ``limits`` and goes on with the command behind it. Without what ``missing`` names."""
    command: list[str] = []
    if choom := shutil.which("choom", path=_PATH):
        # Whoever lacks the right to lower it may only raise it.
        command += [choom, "-n", str(max(limits.oom_score_adj, _own_oom_score_adj())), "--"]
    if prlimit := shutil.which("prlimit", path=_PATH):
        wanted = {
            "nproc": limits.processes,
            "nofile": limits.open_files,
            "data": limits.memory_bytes,
            "core": limits.core,
            "msgqueue": 0,
        }
        options = (f"--{name}={_allowed(name, value)}" for name, value in wanted.items() if value is not None)
        command += [prlimit, *options, "--"]
    return command


def missing() -> str | None:
    """Why servers run without these limits; None when they have them."""
    absent = [program for program in ("prlimit", "choom") if shutil.which(program, path=_PATH) is None]
    return f"{' and '.join(absent)} not found; apt-get install util-linux" if absent else None


def _allowed(name: str, value: int) -> int:
    """Never more than we have ourselves: raising it takes a right that a container may lack."""
    hard = resource.getrlimit(_RESOURCES[name])[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _own_oom_score_adj() -> int:
    return int(Path("/proc/self/oom_score_adj").read_text())
