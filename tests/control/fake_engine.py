"""An engine whose servers are entries of a dictionary, which outlives the engine as servers outlive Howdah."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from howdah.domain.backups import ArchiveStatus, BaseBackup, Window
from howdah.domain.drills import Drilled
from howdah.domain.errors import HowdahError
from howdah.domain.ids import InstanceId, ServiceId, TimelineId
from howdah.domain.instances import Instance, InstanceRegistry
from howdah.domain.members import MemberStatus
from howdah.domain.metrics import ServerMetrics
from howdah.domain.services import Endpoint, ServiceSecrets, ServiceSpec, ServiceStatus
from howdah.domain.states import ServiceState
from howdah.engines.protocol import Removal


@dataclass
class Server:
    port: int
    up: bool = False
    restart: int = 0
    starts: int = 0
    password_version: int = 0
    verifier: str = ""
    certificate: str = ""
    key: str = ""
    names: tuple[str, ...] = ()


@dataclass
class World:
    """What exists outside the control plane. ``broken``: services whose server does not start, with the reason.
    ``forgotten``: whose backups were deleted. ``restoring``: how far those are that are made from a backup, and what is
    being done; None: all is restored.
    ``bases``: the base backups of every timeline. ``standbys``: the ports of those standbys of a service that let
    clients in. ``concluding``: what servers wait for before they end; ``hurried``:
    those that were not waited for. ``outage``: why the archive is out of reach. ``kept``: whose backups were left alone
    in the archive, where ``window`` is what can be restored. ``unclear``: services of an older store of which nobody
    can tell who is the primary, and why; ``promoted``: those that are read replicas no more."""

    servers: dict[ServiceId, Server] = field(default_factory=dict)
    broken: dict[ServiceId, str] = field(default_factory=dict)
    restoring: tuple[ServiceState, str] | None = None
    forgotten: list[TimelineId] = field(default_factory=list)
    bases: list[BaseBackup] = field(default_factory=list)
    standbys: dict[ServiceId, tuple[int, ...]] = field(default_factory=dict)
    next_port: int = 20_000
    concluding: str | None = None
    hurried: set[ServiceId] = field(default_factory=set)
    outage: HowdahError | None = None
    kept: list[TimelineId] = field(default_factory=list)
    window: Window | None = None
    unclear: dict[ServiceId, str] = field(default_factory=dict)
    promoted: set[ServiceId] = field(default_factory=set)


async def _nothing(_call: str, _service: ServiceId) -> None:
    return


class FakeEngine:
    """``before``: awaited before each call is carried out; it may wait, raise or be cancelled."""

    def __init__(
        self,
        world: World,
        registry: InstanceRegistry,
        before: Callable[[str, ServiceId], Awaitable[None]] = _nothing,
    ) -> None:
        self.world = world
        self.registry = registry
        self.before = before
        self.events: asyncio.Queue[ServiceId | Exception] = asyncio.Queue()
        self.passes: dict[ServiceId, int] = {}
        self.specs: dict[ServiceId, ServiceSpec] = {}
        self.running: set[ServiceId] = set()
        self.member_list: list[MemberStatus] = []
        self.stored = 0
        self.memory: int | None = None

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return

    def memory_gib(self) -> int | None:
        return self.memory

    async def changes(self) -> AsyncIterator[ServiceId]:
        while True:
            event = await self.events.get()
            if isinstance(event, Exception):
                raise event
            yield event

    async def reconcile(self, spec: ServiceSpec, secrets: ServiceSecrets) -> ServiceStatus:
        assert spec.id not in self.running, "two passes of one service at a time"
        self.running.add(spec.id)
        try:
            self.passes[spec.id] = self.passes.get(spec.id, 0) + 1
            self.specs[spec.id] = spec
            await self.before("reconcile", spec.id)
            if spec.unconfirmed and not spec.accept_loss and spec.id in self.world.unclear:
                return ServiceStatus(False, False, reason=self.world.unclear[spec.id], retry_after=0.01)
            status = await self._step(spec, secrets)
            ports = self.world.standbys.get(spec.id, ())
            return replace(
                status,
                standbys=tuple(Endpoint("127.0.0.1", port) for port in ports),
                confirmed=spec.unconfirmed,
                promoted=spec.unconfirmed and spec.id in self.world.promoted,
            )
        finally:
            self.running.discard(spec.id)

    async def _step(self, spec: ServiceSpec, secrets: ServiceSecrets) -> ServiceStatus:
        server = self.world.servers.get(spec.id)
        if server is None:
            if not self.registry.of(spec.id):
                self.world.next_port += 1
                await self.registry.put(Instance(InstanceId.new(), spec.id, self.world.next_port, None))
            self.world.servers[spec.id] = server = Server(self.registry.of(spec.id)[0].port)
        elif server.up and server.restart != spec.restart:
            server.up = False
        elif not server.up and spec.id in self.world.broken:
            return self._status(server, reason=self.world.broken[spec.id], retry_after=0.05)
        elif spec.source is not None and server.starts == 0 and self.world.restoring is not None:
            restoring, doing = self.world.restoring
            return self._status(server, reason=doing, retry_after=0.01, restoring=restoring)
        elif not server.up:
            server.up, server.restart, server.starts = True, spec.restart, server.starts + 1
        elif server.certificate != spec.certificate or server.names != spec.hostnames:
            server.certificate, server.key, server.names = spec.certificate, secrets.certificate_key, spec.hostnames
        elif server.password_version != spec.password_version:
            server.password_version, server.verifier = spec.password_version, secrets.password_verifier
        else:
            return self._status(server, ready=True)
        return self._status(server)

    def _status(
        self,
        server: Server,
        *,
        ready: bool = False,
        reason: str | None = None,
        retry_after: float | None = None,
        restoring: ServiceState | None = None,
    ) -> ServiceStatus:
        return ServiceStatus(
            ready=ready,
            settled=ready,
            primary=Endpoint("127.0.0.1", server.port),
            reason=reason,
            restart=server.restart if server.up else None,
            password_version=server.password_version if server.up else None,
            certificate=server.certificate if server.up else None,
            retry_after=retry_after,
            restoring=restoring,
        )

    async def conclude(self, spec: ServiceSpec, *, hurry: bool) -> str | None:
        await self.before("conclude", spec.id)
        self.world.hurried |= {spec.id} if hurry else set()
        if self.world.concluding is not None and not hurry:
            return self.world.concluding
        if (server := self.world.servers.get(spec.id)) is not None and server.up:
            server.up = False
            return "its server ends"
        return None

    async def keep_backups(self, timeline: TimelineId) -> Removal:
        if self.world.outage is not None:
            raise self.world.outage
        self.world.kept.append(timeline)
        return Removal.REMOVED

    async def remove(self, service: ServiceId, timeline: TimelineId | None) -> Removal:  # noqa: ARG002
        await self.before("remove", service)
        if (server := self.world.servers.get(service)) is None:
            for instance in self.registry.of(service):
                await self.registry.remove(instance.id)
            return Removal.REMOVED
        if server.up:
            server.up = False
        else:
            del self.world.servers[service]
        return Removal.STILL_THERE

    async def forget_backups(self, timeline: TimelineId) -> Removal:
        if self.world.outage is not None:
            raise self.world.outage
        self.world.forgotten.append(timeline)
        return Removal.REMOVED

    async def restorable(self, timeline: TimelineId, target: datetime | None) -> None:  # noqa: ARG002
        return

    async def backups(self, timeline: TimelineId) -> list[BaseBackup]:  # noqa: ARG002
        return self.world.bases

    def backup_began(self, timeline: TimelineId) -> datetime | None:  # noqa: ARG002
        return None

    async def archive_status(self, timeline: TimelineId) -> ArchiveStatus:  # noqa: ARG002
        return ArchiveStatus(tuple(self.world.bases), self.world.window)

    async def members(self, service: ServiceId, follows: ServiceId | None) -> list[MemberStatus]:  # noqa: ARG002
        return self.member_list

    async def stored_bytes(self, service: ServiceId) -> int:  # noqa: ARG002
        return self.stored

    async def metrics(self, service: ServiceId) -> ServerMetrics:  # noqa: ARG002
        return ServerMetrics()

    async def drill(self, timeline: TimelineId) -> datetime:  # noqa: ARG002
        return datetime.now(UTC)

    async def drills(self, timeline: TimelineId) -> Drilled:  # noqa: ARG002
        return Drilled()

    def crash(self, service: ServiceId) -> None:
        self.world.servers[service].up = False
        self.events.put_nowait(service)
