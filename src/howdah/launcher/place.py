"""Where this process is among the machine's control groups (cgroup v2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """Where this process is. ``mount``: where control groups are mounted; ``path``: ours below it, "." at the top."""

    mount: Path
    path: str

    @staticmethod
    def own() -> Place | None:
        """That of this process; None without cgroup v2."""
        return Place.of(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())

    @staticmethod
    def of(mountinfo: str, cgroup: str) -> Place | None:
        """From the text of both files, see proc(5) and cgroups(7)."""
        path = next((line[3:] for line in cgroup.splitlines() if line.startswith("0::")), None)
        for line in mountinfo.splitlines():
            mounted, _, kind = line.partition(" - ")
            root, mount = mounted.split()[3:5]
            if kind.split()[0] == "cgroup2" and path is not None and Path(path).is_relative_to(root):
                return Place(Path(mount), str(Path(path).relative_to(root)))
        return None
