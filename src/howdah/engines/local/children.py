"""What the processes of a server say of themselves in their titles."""

from __future__ import annotations

from collections.abc import Iterator

from howdah.launcher.processes import children, title


def wal_writer(postmaster: int) -> int | None:
    """The pid of its WAL writer: there is one while clients are let in, and none while it starts or recovers."""
    return next((pid for pid, title in _titles(postmaster) if title.endswith(": walwriter")), None)


def replayed_segment(postmaster: int) -> str | None:
    """The WAL segment that its recovery is at."""
    found = (title for _, title in _titles(postmaster) if "startup recovering" in title)
    return next((title.rpartition(" ")[2] for title in found), None)


def _titles(postmaster: int) -> Iterator[tuple[int, str]]:
    for pid in children(postmaster):
        yield pid, title(pid)
