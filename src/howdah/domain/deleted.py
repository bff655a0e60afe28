"""Services that were deleted and whose backups are kept for a while."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from howdah.domain.catalog import Size
from howdah.domain.ids import ServiceId, TimelineId
from howdah.domain.states import PostgresVersion
from howdah.domain.tags import Tag


@dataclass(frozen=True, slots=True)
class DeletedService:
    """What a new service needs to be made from the backups of one that is gone; no secrets. Times are UTC.

    deleted_at: when nothing but its backups was left. keep_until: when those go, too.
    earliest_restore: the first moment to which it can be restored; None while its last WAL is still to be archived.
    problem: what its backups lack, in words; None when they have all that it committed.
    """

    id: ServiceId
    timeline: TimelineId
    organization: UUID
    name: str
    provider: str
    region: str
    size: Size
    storage_gib: int
    postgres_version: PostgresVersion
    tags: tuple[Tag, ...]
    created_at: datetime
    deleted_at: datetime
    keep_until: datetime
    earliest_restore: datetime | None
    problem: str | None = None
