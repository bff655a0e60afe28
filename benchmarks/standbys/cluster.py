"""What the contestants have in common."""

from __future__ import annotations

from typing import Protocol

MEMBERS = {"sync": 3, "async": 2}
"""Servers of a service, by haType."""

LONGEST = 180.0
"""Seconds until a cluster must be well again."""


class Cluster(Protocol):
    """Servers of which one is the primary. ``target``: where clients find it. ``period``: seconds between two of its
    looks at its servers, so that failures can come at any moment of it."""

    target: str
    period: float

    def primary(self) -> tuple[str, int]:
        """Which of them it is, and the pid of its postmaster."""
        ...

    def well(self) -> bool:
        """Whether all of its servers are there and able to take over."""
        ...

    def switch_over(self) -> None:
        """Ask for another primary."""
        ...
