"""The servers of a service as their user sees them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from howdah.domain.ids import InstanceId
from howdah.domain.instances import Role


class MemberState(StrEnum):
    """running: it lets clients in. streaming: and receives what the primary writes. copying: its data are being made
    from the primary's. starting: its server is not there yet. failed: see its reason."""

    RUNNING = "running"
    STREAMING = "streaming"
    COPYING = "copying"
    STARTING = "starting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """joined: as in ``Instance``. acknowledges: commits of a primary that waits are waiting for it or another such.
    received, replayed: LSNs that a standby has durably and shows; lag_bytes: WAL that the primary has beyond
    ``received``; None: not known."""

    id: InstanceId
    role: Role
    state: MemberState
    reason: str | None = None
    joined: bool = False
    acknowledges: bool = False
    received: str | None = None
    replayed: str | None = None
    lag_bytes: int | None = None
