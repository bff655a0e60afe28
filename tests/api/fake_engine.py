"""An engine without Postgres: what is wanted is so at once, unless a test says otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

from howdah.domain.backups import ArchiveStatus, BaseBackup
from howdah.domain.drills import Drilled, DrillProgress
from howdah.domain.errors import HowdahError
from howdah.domain.ids import ServiceId, TimelineId
from howdah.domain.members import MemberStatus
from howdah.domain.metrics import ServerMetrics
from howdah.domain.services import Endpoint, ServiceSecrets, ServiceSpec, ServiceStatus
from howdah.domain.states import ServiceState
from howdah.engines.protocol import Removal


class FakeEngine:
    """``held``: services do not get ready. ``reason``: they do not, and this is why. ``keeps``: nothing goes away.
    ``restoring``: how far those are that are made from a backup, and ``reason`` is then what is being done.
    ``earliest``, ``bases``, ``archive``: what is known of backups. ``refusal``: why nothing can be restored.
    ``outage``: why the archive cannot be asked. ``drilled``: what drills have found. ``member_list``: the servers of
    every service. ``stored``: bytes that each has stored. ``memory``: GiB that servers may have together. ``measured``:
    of every server, and how often that was asked."""

    def __init__(self) -> None:
        self.held = False
        self.keeps = False
        self.reason: str | None = None
        self.restoring: ServiceState | None = None
        self.earliest: datetime | None = None
        self.bases: list[BaseBackup] = []
        self.archive = ArchiveStatus((), None)
        self.refusal: HowdahError | None = None
        self.outage: HowdahError | None = None
        self.drilled = Drilled()
        self.member_list: list[MemberStatus] = []
        self.stored = 0
        self.memory: int | None = None
        self.measured = ServerMetrics()
        self.measurements = 0

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def reconcile(self, spec: ServiceSpec, secrets: ServiceSecrets) -> ServiceStatus:  # noqa: ARG002
        there = Endpoint("127.0.0.1", 20001)
        if self.held or self.reason:
            restoring = None if spec.source is None else self.restoring
            return ServiceStatus(
                ready=False, settled=True, primary=there, reason=self.reason, retry_after=0.02, restoring=restoring
            )
        return ServiceStatus(
            ready=True,
            settled=True,
            primary=there,
            restart=spec.restart,
            password_version=spec.password_version,
            certificate=spec.certificate,
            earliest_restore=self.earliest,
        )

    def memory_gib(self) -> int | None:
        return self.memory

    async def changes(self) -> AsyncIterator[ServiceId]:
        await asyncio.Event().wait()
        raise AssertionError
        yield

    async def remove(self, service: ServiceId, timeline: TimelineId | None) -> Removal:  # noqa: ARG002
        return Removal.STILL_THERE if self.keeps else Removal.REMOVED

    async def conclude(self, spec: ServiceSpec, *, hurry: bool) -> str | None:  # noqa: ARG002
        return None

    async def keep_backups(self, timeline: TimelineId) -> Removal:  # noqa: ARG002
        self._reach()
        return Removal.REMOVED

    async def forget_backups(self, timeline: TimelineId) -> Removal:  # noqa: ARG002
        return Removal.REMOVED

    async def restorable(self, timeline: TimelineId, target: datetime | None) -> None:  # noqa: ARG002
        self._reach()
        if self.refusal is not None:
            raise self.refusal

    async def backups(self, timeline: TimelineId) -> list[BaseBackup]:  # noqa: ARG002
        self._reach()
        return self.bases

    def backup_began(self, timeline: TimelineId) -> datetime | None:  # noqa: ARG002
        return self.archive.under_way

    async def archive_status(self, timeline: TimelineId) -> ArchiveStatus:  # noqa: ARG002
        self._reach()
        return self.archive

    async def members(self, service: ServiceId, follows: ServiceId | None) -> list[MemberStatus]:  # noqa: ARG002
        return self.member_list

    async def stored_bytes(self, service: ServiceId) -> int:  # noqa: ARG002
        return self.stored

    async def metrics(self, service: ServiceId) -> ServerMetrics:  # noqa: ARG002
        self.measurements += 1
        return self.measured

    async def drill(self, timeline: TimelineId) -> datetime:  # noqa: ARG002
        self._reach()
        if self.drilled.under_way is None:
            began = DrillProgress(datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC), "waiting for its turn", 0.0)
            self.drilled = replace(self.drilled, under_way=began)
            return began.started_at
        return self.drilled.under_way.started_at

    async def drills(self, timeline: TimelineId) -> Drilled:  # noqa: ARG002
        self._reach()
        return self.drilled

    def _reach(self) -> None:
        if self.outage is not None:
            raise self.outage
