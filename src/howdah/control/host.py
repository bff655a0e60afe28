"""What of the machine the control plane has changed for it, because it has not the rights itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Host(Protocol):
    def keep_hosts(self, address: str, names: Sequence[str]) -> None:
        """Make exactly these names resolve to the address. Raises OSError."""
        ...

    def open_router(self, ports: Sequence[int]) -> str | None:
        """Let services connect to the router's ports, and to no others of this machine. Why they can connect to others
        too; None when they cannot."""
        ...
