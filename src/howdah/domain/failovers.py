"""Changes of the primary: one record each, written before the new one is told and completed when it lets clients in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from howdah.domain.ids import InstanceId, ServiceId


class ChangeKind(StrEnum):
    """``ADOPTION``: it was the primary already, and an older store that was put back did not know of it."""

    FAILOVER = "failover"
    SWITCHOVER = "switchover"
    ADOPTION = "adoption"


@dataclass(frozen=True, slots=True)
class RoleChange:
    """One change of a service's primary.

    cause: in words, for users. position: the LSN until which the new primary had everything when it was chosen.
    lost_bytes: WAL of the former primary beyond that, as far as is known; 0: nothing; None: not known.
    Milliseconds: detection, from the last moment at which the former primary is known to have been well until this
    began (None: not known); fencing, until none of its processes was left; promotion, from there until the new primary
    accepted writes; first_write, from the beginning until clients could reach it. None until they are known.
    """

    id: UUID
    service: ServiceId
    at: datetime
    kind: ChangeKind
    cause: str
    former: InstanceId
    new: InstanceId
    position: str | None = None
    lost_bytes: int | None = None
    detection_ms: float | None = None
    fencing_ms: float | None = None
    promotion_ms: float | None = None
    first_write_ms: float | None = None
