"""What an engine must do. Services are the unit; an engine decides how many instances they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from enum import Enum
from typing import Protocol

from howdah.domain.backups import ArchiveStatus, BaseBackup
from howdah.domain.drills import Drilled
from howdah.domain.ids import ServiceId, TimelineId
from howdah.domain.members import MemberStatus
from howdah.domain.metrics import ServerMetrics
from howdah.domain.services import ServiceSecrets, ServiceSpec, ServiceStatus


class Removal(Enum):
    """How far the removal of a service is."""

    REMOVED = "removed"
    STILL_THERE = "still there"


class Engine(Protocol):
    """Makes services exist. All calls are idempotent; ``reconcile`` and ``remove`` are never run twice at the same
    time for one service, and are cancellation-safe."""

    async def start(self) -> None:
        """Prepare and take over what already runs. Raises SetupError when this machine lacks something."""
        ...

    async def close(self) -> None:
        """Stop watching. Servers go on running."""
        ...

    async def reconcile(self, spec: ServiceSpec, secrets: ServiceSecrets) -> ServiceStatus:
        """One pass: observe, plan, perform at most one action, say what is."""
        ...

    def memory_gib(self) -> int | None:
        """GiB that all servers may have together; None where nobody is promised any. Known without asking anybody."""
        ...

    def changes(self) -> AsyncIterator[ServiceId]:
        """Services to which something happened outside ``reconcile``: look at them again."""
        ...

    async def conclude(self, spec: ServiceSpec, *, hurry: bool) -> str | None:
        """One pass toward the end of a server of which nothing may be missing in its backups; then comes ``remove``.
        hurry: end it now, whatever is missing; that takes a bounded time.

        In words, what it waits for; None when nothing of it runs any more. Raises Unavailable.
        """
        ...

    async def remove(self, service: ServiceId, timeline: TimelineId | None) -> Removal:
        """One pass toward nothing being left of the service but its backups (``timeline``)."""
        ...

    async def keep_backups(self, timeline: TimelineId) -> Removal:
        """One pass toward nothing being left of a service that has been removed but what is in the archive, and all of
        its WAL being there. Cheap where that is so.

        Raises Unavailable while the archive is out of reach; what it lacks then stays here.
        """
        ...

    async def forget_backups(self, timeline: TimelineId) -> Removal:
        """One pass toward nothing being left of the backups of a service that has been removed.

        Raises Unavailable while the archive is out of reach.
        """
        ...

    async def restorable(self, timeline: TimelineId, target: datetime | None) -> None:
        """Raises BadRequest when a service cannot be restored to ``target`` (UTC; None: the newest), saying what can
        be, and Unavailable when that is not known."""
        ...

    async def backups(self, timeline: TimelineId) -> list[BaseBackup]:
        """Its base backups that count, oldest first. Raises Unavailable."""
        ...

    def backup_began(self, timeline: TimelineId) -> datetime | None:
        """When the base backup that is being taken began; None while none is. Known without asking the archive."""
        ...

    async def archive_status(self, timeline: TimelineId) -> ArchiveStatus:
        """Raises Unavailable, BadRequest for an archive that is damaged."""
        ...

    async def members(self, service: ServiceId, follows: ServiceId | None) -> list[MemberStatus]:
        """Its servers, the primary first. ``follows``: the service whose read replica it is."""
        ...

    async def stored_bytes(self, service: ServiceId) -> int:
        """What it has stored, its WAL included. Raises Unavailable while it cannot be asked."""
        ...

    async def metrics(self, service: ServiceId) -> ServerMetrics:
        """What is measured of the server that its clients reach."""
        ...

    async def drill(self, timeline: TimelineId) -> datetime:
        """Restore its latest backup where nobody uses it and check what comes out, in the background; when that began,
        or when the one that is under way did. One that an end of the control plane interrupts is over.

        Raises Unavailable, also where none can be done, and BadRequest while there is nothing to restore.
        """
        ...

    async def drills(self, timeline: TimelineId) -> Drilled:
        """What its drills have found. Raises Unavailable."""
        ...
