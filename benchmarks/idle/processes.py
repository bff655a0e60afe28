"""What the processes of a Howdah use, by what they are: memory that is counted once (PSS) and processor time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GROUPS = ("control plane", "launcher", "router", "receivers", "servers")

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """``memory``: MB. ``processor``: seconds until now, by process."""

    memory: float
    processor: dict[int, float]


def look(state: Path, control_plane: int) -> dict[str, Usage]:
    """All processes of a state directory, by group."""
    found: dict[str, list[int]] = {group: [] for group in GROUPS}
    parents = dict(_parents())
    postmasters = {pid for pid in parents if _works_in(pid, state / "services")}
    for pid, parent in parents.items():
        command = _command(pid)
        if pid == control_plane:
            found["control plane"].append(pid)
        elif parent == control_plane and "howdah.launcher" in command:
            found["launcher"].append(pid)
        elif "howdah.router" in command and str(state) in command:
            found["router"].append(pid)
        elif f"--directory={state}/spool/" in command:
            found["receivers"].append(pid)
        elif pid in postmasters or parent in postmasters:
            found["servers"].append(pid)
    return {group: usage(pids) for group, pids in found.items()}


def look_below(postmasters: set[int]) -> Usage:
    """Servers and their children."""
    return usage(pid for pid, parent in _parents() if pid in postmasters or parent in postmasters)


def usage(pids: Iterable[int]) -> Usage:
    processes = tuple(pids)
    return Usage(sum(map(_memory, processes)), {pid: _processor(pid) for pid in processes})


def between(before: dict[str, Usage], after: dict[str, Usage], seconds: float) -> dict[str, float]:
    """``<group>_mb`` at the end, and ``<group>_percent`` of a core, of what ran all the time or began meanwhile."""
    figures: dict[str, float] = {}
    for group, now in after.items():
        spent = sum(used - before[group].processor.get(pid, 0.0) for pid, used in now.processor.items())
        figures[f"{group}_mb"] = now.memory
        figures[f"{group}_percent"] = 100 * spent / seconds
    return figures


def _parents() -> Iterator[tuple[int, int]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                yield int(entry.name), int(_stat(int(entry.name))[1])


def _stat(pid: int) -> list[str]:
    """From the state of the process on: proc_pid_stat(5), field 3."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _processor(pid: int) -> float:
    with suppress(OSError):
        user, system = _stat(pid)[11:13]
        return (int(user) + int(system)) / _TICK
    return 0.0


def _memory(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _works_in(pid: int, directory: Path) -> bool:
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/cwd").startswith(f"{directory}/")
    return False
