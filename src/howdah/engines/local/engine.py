"""The local engine: every service is one real Postgres server on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from howdah.domain.backups import ArchiveStatus, BaseBackup
from howdah.domain.drills import Drilled, DrillJournal
from howdah.domain.errors import SetupError, Unavailable
from howdah.domain.ids import InstanceId, ServiceId, TimelineId
from howdah.domain.instances import InstanceRegistry
from howdah.domain.members import MemberStatus
from howdah.domain.metrics import ServerMetrics
from howdah.domain.services import ServiceSecrets, ServiceSpec, ServiceStatus
from howdah.domain.settings import Settings
from howdah.domain.states import PostgresVersion
from howdah.engines.local.actions.stop import stop
from howdah.engines.local.adoption import adopt, adopt_all, tidy
from howdah.engines.local.advance import Advance
from howdah.engines.local.archiving.archives import Archives
from howdah.engines.local.archiving.received import Received
from howdah.engines.local.archiving.receiver import end_receivers
from howdah.engines.local.archiving.spool import Spool
from howdah.engines.local.binaries import Progress
from howdah.engines.local.concluding import conclude, serving_of
from howdah.engines.local.drills.drills import Drills
from howdah.engines.local.machine import Machine
from howdah.engines.local.members.copies import Copies
from howdah.engines.local.members.members import Members, Scene
from howdah.engines.local.members.pulse import watch_members
from howdah.engines.local.members.report import report, stored_bytes
from howdah.engines.local.memory import available_gib
from howdah.engines.local.metrics.metrics import measure
from howdah.engines.local.metrics.usage import Usages
from howdah.engines.local.observe import observe
from howdah.engines.local.observed import Observed
from howdah.engines.local.preparing import prepare
from howdah.engines.local.probe import ProbeTimes, probe_all
from howdah.engines.local.removal import remove_service
from howdah.engines.local.restoring import Restorations
from howdah.engines.local.status import status_of
from howdah.engines.local.troubles import Troubles
from howdah.engines.protocol import Removal
from howdah.launcher.client import Launcher

_log = structlog.get_logger()


class LocalEngine:
    """engines/protocol.py with real servers. ``launcher``: None: what this process may do itself.
    ``progress``: told about long steps of ``start``."""

    def __init__(
        self,
        settings: Settings,
        registry: InstanceRegistry,
        *,
        journal: DrillJournal | None = None,
        launcher: Launcher | None = None,
        progress: Progress | None = None,
        probe: ProbeTimes | None = None,
        versions: tuple[PostgresVersion, ...] = tuple(PostgresVersion),
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._journal = journal
        self._launcher = launcher
        self._progress: Progress = progress or _log.info
        self._probe_times = probe or ProbeTimes()
        self._versions = versions
        self._changes: asyncio.Queue[ServiceId] = asyncio.Queue()
        self._troubles = Troubles()
        self._usages = Usages()
        self._machine: Machine | None = None
        self._archives: Archives | None = None
        self._restorations: Restorations | None = None
        self._drills: Drills | None = None
        self._members: Members | None = None
        self._probers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._machine = machine = await prepare(
            self._settings,
            self._registry,
            self._launcher,
            versions=self._versions,
            progress=self._progress,
            changed=self._changes.put_nowait,
        )
        adopted = adopt_all(machine)
        await asyncio.to_thread(tidy, machine)
        copies = Copies(machine.layout.pool, self._instance_changed)
        await asyncio.to_thread(copies.tidy)
        self._members = members = Members(machine, copies)
        if self._settings.backup.enabled:
            await self._start_archives(machine)
        else:
            await asyncio.to_thread(end_receivers, machine.layout.spool)
        for pool in machine.pools.values():
            await pool.start()
        self._probers = [
            asyncio.create_task(probe_all(machine, self._probe_times)),
            asyncio.create_task(watch_members(members, self._changes.put_nowait)),
        ]
        _log.info("local engine started", adopted=adopted)

    async def close(self) -> None:
        for prober in self._probers:
            prober.cancel()
        await asyncio.gather(*self._probers, return_exceptions=True)
        if self._members is not None:
            await self._members.close()
        if self._restorations is not None:
            await self._restorations.close()
        if self._drills is not None:
            await self._drills.close()
        if self._archives is not None:
            await self._archives.close()
        if self._machine is not None:
            for pool in self._machine.pools.values():
                await pool.close()
            self._machine.watch.close()

    async def reconcile(self, spec: ServiceSpec, secrets: ServiceSecrets) -> ServiceStatus:
        members = self._ready_members()
        advance = Advance(
            *(members, self._restorations, spec, secrets),
            received=partial(self._received, spec.follows or spec.id),
            failed=partial(self._troubles.failed, spec.id),
        )
        scene = members.look(spec, secrets)
        await advance.run(scene)
        if advance.acted:
            scene = members.look(spec, secrets)
        if advance.problem is None:
            self._troubles.over(spec.id)
        doing = self._restorations.doing(spec.id) if self._restorations is not None else None
        status = status_of(members, spec, scene, advance.problem, doing, hurt=advance.hurt)
        status = replace(status, earliest_restore=self._archive(spec, scene), moving=advance.moving)
        return status if advance.problem is None else replace(status, retry_after=self._troubles.wait(spec.id))

    def memory_gib(self) -> int | None:
        return available_gib(self._settings.postgres)

    async def changes(self) -> AsyncIterator[ServiceId]:
        while True:
            yield await self._changes.get()

    async def remove(self, service: ServiceId, timeline: TimelineId | None) -> Removal:
        self._troubles.over(service)
        members = self._ready_members()
        members.forget(service)
        for instance in members.machine.registry.of(service):
            await members.copies.abandon(instance.id)
            self._usages.forget(instance.id)
        if self._restorations is not None and not await self._restorations.abandon(service):
            return Removal.STILL_THERE
        if timeline is not None and self._archives is not None:
            self._archives.expect_end(timeline)
        return await remove_service(self._ready_machine(), service)

    async def conclude(self, spec: ServiceSpec, *, hurry: bool) -> str | None:
        if self._archives is None:
            return None
        return await conclude(self._ready_machine(), self._archives, spec, self._observe(spec.id), hurry=hurry)

    async def keep_backups(self, timeline: TimelineId) -> Removal:
        archives = self._ready_archives()
        if self._drills is not None and not await self._drills.abandon(timeline):
            return Removal.STILL_THERE
        await archives.keep(timeline)
        return Removal.REMOVED

    async def forget_backups(self, timeline: TimelineId) -> Removal:
        if self._archives is None:
            await asyncio.to_thread(Spool(self._ready_machine().layout.spool / timeline.ubid).remove)
            return Removal.REMOVED
        if self._restorations is not None and self._restorations.reads(timeline):
            return Removal.STILL_THERE
        if self._drills is not None and not await self._drills.abandon(timeline):
            return Removal.STILL_THERE
        await self._archives.forget(timeline)
        return Removal.REMOVED

    async def restorable(self, timeline: TimelineId, target: datetime | None) -> None:
        await self._ready_archives().check(timeline, target)

    async def backups(self, timeline: TimelineId) -> list[BaseBackup]:
        return await self._ready_archives().bases(timeline)

    def backup_began(self, timeline: TimelineId) -> datetime | None:
        line = self._archives.line(timeline) if self._archives is not None else None
        return None if line is None else line.backing_up.began

    async def archive_status(self, timeline: TimelineId) -> ArchiveStatus:
        return await self._ready_archives().status(timeline)

    async def members(self, service: ServiceId, follows: ServiceId | None) -> list[MemberStatus]:
        return await report(self._ready_machine(), self._ready_members().copies, service, follows)

    async def stored_bytes(self, service: ServiceId) -> int:
        return await stored_bytes(self._ready_machine(), service)

    async def metrics(self, service: ServiceId) -> ServerMetrics:
        found = await measure(self._ready_machine(), self._usages, service)
        said = found.statistics
        if self._archives is not None and said is not None and said.flushed is not None:
            self._archives.observe(service, said.flushed, said.received)
        return found

    async def drill(self, timeline: TimelineId) -> datetime:
        return await self._ready_drills().begin(timeline)

    async def drills(self, timeline: TimelineId) -> Drilled:
        return await self._ready_drills().status(timeline)

    async def stop(self, service: ServiceId) -> None:
        """Have a service's server end without changing what is wanted: a pass of ``reconcile`` starts it again.

        A fast shutdown; one that takes too long becomes an immediate one. Raises Unavailable when it does not end.
        """
        machine = self._ready_machine()
        for instance in machine.registry.of(service):
            adopt(machine, instance)
            while not await stop(machine, instance):
                pass

    def _instance_changed(self, identifier: InstanceId) -> None:
        for instance in self._ready_machine().registry.all():
            if instance.id == identifier:
                self._changes.put_nowait(instance.service)

    async def _start_archives(self, machine: Machine) -> None:
        archives = Archives(self._settings.backup, machine.layout, self._changes.put_nowait)
        self._restorations = Restorations(archives, machine.layout.pool)
        await asyncio.to_thread(self._restorations.tidy)
        self._drills = Drills(archives, machine.layout.pool, machine.binaries, self._settings.backup, self._journal)
        await self._drills.start()
        archives.start((self._restorations.reads, self._drills.reads))
        self._archives = archives

    def _received(self, service: ServiceId) -> Received | None:
        return None if self._archives is None else self._archives.received(service)

    def _archive(self, spec: ServiceSpec, scene: Scene) -> datetime | None:
        """See to it that what the primary writes is archived; the first moment to which it can be restored."""
        if self._archives is None or spec.follows is not None:
            return None
        seen = scene.primary.seen if scene.primary is not None else Observed(instance=None)
        serving = serving_of(self._ready_machine(), spec, seen, self._ready_members().relay(scene))
        line = self._archives.follow(spec, serving)
        return None if line is None else line.earliest

    def _ready_drills(self) -> Drills:
        self._ready_archives()
        assert self._drills is not None
        return self._drills

    def _ready_archives(self) -> Archives:
        if self._archives is None:
            raise Unavailable("backups are off on this server (backup.archive)")
        return self._archives

    def _observe(self, service: ServiceId) -> Observed:
        """Its primary."""
        machine = self._ready_machine()
        instance = next(iter(machine.registry.of(service)), None)
        if instance is None:
            return Observed(instance=None)
        adopt(machine, instance)
        return observe(machine, instance)

    def _ready_members(self) -> Members:
        self._ready_machine()
        assert self._members is not None
        return self._members

    def _ready_machine(self) -> Machine:
        if self._machine is None:
            raise SetupError("the local engine has not been started")
        return self._machine
