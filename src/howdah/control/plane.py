"""The control plane of one state directory: everything that runs, started in order and stopped in reverse."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

import structlog

from howdah.control import bootstrap
from howdah.control.access import Access
from howdah.control.activities import Activities
from howdah.control.answers import Answers
from howdah.control.backups import Backups
from howdah.control.certificates import CertificateSchedule
from howdah.control.clock import Clock, utc_now
from howdah.control.deleted import DeletedServices
from howdah.control.effects import Effects
from howdah.control.host import Host
from howdah.control.lock import hold
from howdah.control.members import Members
from howdah.control.metrics import Metrics
from howdah.control.passes import Passes
from howdah.control.paths import (
    bootstrap_file,
    lock_file,
    router_directory,
    routes_file,
    secrets_key_file,
    store_file,
)
from howdah.control.publisher import Publisher
from howdah.control.reconciler import Reconciler
from howdah.control.removals import Removals
from howdah.control.resolution import Resolution, client_address
from howdah.control.router_process import RouterProcess
from howdah.control.services import Services
from howdah.control.traffic import TrafficCounts
from howdah.control.vault import open_vault
from howdah.domain.catalog import Catalog, default_catalog
from howdah.domain.drills import DrillJournal
from howdah.domain.errors import SetupError, Unavailable
from howdah.domain.instances import InstanceRegistry
from howdah.domain.memory import Memory
from howdah.domain.routes import Route
from howdah.domain.settings import Settings
from howdah.engines.protocol import Engine
from howdah.security.sealing import ENVIRONMENT_VARIABLE
from howdah.store.drills import StoredDrills
from howdah.store.instances import StoredInstances
from howdah.store.memory import memory as stored_memory
from howdah.store.store import Store

USES_SECONDS = 60.0
FORGETTING_SECONDS = 600.0
"""Between two looks for what is old enough to be forgotten."""

ROOM_SECONDS = 2.0
"""Between two looks whether a full disk has room again."""

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class ControlPlane:
    """Used as ``async with ControlPlane(settings, make_engine) as plane``.

    ``make_engine`` gets the registry of instances and the journal of drills, which live in the store; ``host``: None
    where this process may change nothing of the machine. Entering raises SetupError when another control plane serves
    the state directory, the store is damaged, or the machine lacks something. Leaving stops the loops; the servers and
    the router go on.
    """

    settings: Settings
    catalog: Catalog
    store: Store
    access: Access
    activities: Activities
    answers: Answers
    services: Services
    backups: Backups
    members: Members
    metrics: Metrics
    deleted: DeletedServices
    reconciler: Reconciler
    schedule: CertificateSchedule

    def __init__(
        self,
        settings: Settings,
        make_engine: Callable[[InstanceRegistry, DrillJournal], Engine],
        *,
        clock: Clock = utc_now,
        host: Host | None = None,
        with_router: bool = True,
    ) -> None:
        self.settings = settings
        self.catalog = default_catalog()
        self._make_engine = make_engine
        self._host = host
        self._clock = clock
        self._with_router = with_router
        self._router = RouterProcess(settings.state, settings.router, self._open_router)
        self._resolution = Resolution(
            domain=settings.domain,
            address=client_address(settings.router.addresses),
            host=host,
        )
        self._stack = AsyncExitStack()
        self._api_url = f"{settings.api.scheme}://{settings.api.host}:{settings.api.port}"
        self._loops: list[asyncio.Task[None]] = []

    @property
    def router_port(self) -> int:
        """Where clients reach the services."""
        return self._router.port

    @property
    def hostaddr(self) -> str | None:
        """The address that clients need beside a hostname, because this machine does not resolve it; else None."""
        return self._resolution.hostaddr

    def memory(self) -> Memory | None:
        """What servers may have and have; None where none is promised to any."""
        total = self._engine.memory_gib()
        return None if total is None else stored_memory(self.store, total)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def readiness(self) -> dict[str, str]:
        """What is not ready and why; empty when everything is."""
        problems = {task.get_name(): "it has stopped" for task in self._loops if task.done()}
        if self._with_router and self._router.problem is not None:
            problems["router"] = self._router.problem
        if self._publisher.problem is not None:
            problems["routes"] = self._publisher.problem
        if (problem := self.store.problem()) is not None:
            problems["store"] = problem
        try:
            self.access.organizations()
        except Unavailable as error:
            problems["store"] = str(error)
        return problems

    def announce(self, api_url: str) -> None:
        """Says in ``bootstrap.env`` where the API listens, as soon as that can be written."""
        self._api_url = api_url
        try:
            bootstrap.announce(bootstrap_file(self.settings.state), api_url=api_url)
        except SetupError as error:
            log.warning("where the API listens cannot be written down yet", reason=str(error))

    async def _start(self, stack: AsyncExitStack) -> None:
        state = self.settings.state
        _prepare(state)
        stack.enter_context(hold(lock_file(state)))
        self.store = stack.enter_context(Store(store_file(state)))
        key_file = Path(os.environ.get(ENVIRONMENT_VARIABLE) or secrets_key_file(state))
        vault = open_vault(self.store, key_file)
        self.access = Access(self.store, self._clock)
        self.answers = Answers(self.store, vault, self._clock)
        self.activities = Activities(self.store, self._clock, self.settings.activity_retention_days)
        stack.push_async_callback(self._try_to_store_uses)
        await bootstrap.bootstrap(self.access, bootstrap_file(state), api_url=self._api_url)

        await self._resolution.start()
        publisher = self._publisher = Publisher(self.store, routes_file(state), self._keep_names)
        stack.callback(publisher.stop)
        await self._publish_all()

        engine = self._engine = self._make_engine(StoredInstances(self.store), StoredDrills(self.store))
        await engine.start()
        stack.push_async_callback(engine.close)
        effects, settings = Effects(), self.settings.backup
        removals = Removals(engine, self.store, self._clock, settings)
        passes = Passes(engine, self.store, vault, publisher, effects, removals)
        reconciler = self.reconciler = Reconciler(engine, passes, effects)
        schedule = self.schedule = CertificateSchedule(
            self.store, vault, self._clock, publish=publisher.publish, wake=reconciler.wake
        )
        self.services = Services(
            self.settings, self.catalog, self.store, vault, self._clock, publisher, reconciler, schedule, engine
        )
        self.members = Members(self.store, vault, self._clock, engine, self.services)
        self.backups = Backups(self.store, vault, self._clock, engine, self.services, settings)
        traffic = TrafficCounts(router_directory(state)) if self._with_router else None
        self.metrics = Metrics(self._clock, engine, self.services, self.backups, traffic)
        self.deleted = DeletedServices(self.store, self._clock, engine, self.services, settings)
        if self._with_router:
            await self._start_router()
            await self._run(stack, "router watch", self._router.watch())
        await self._run(stack, "certificates", schedule.run())
        await self._run(stack, "key uses", self._store_uses())
        await self._run(stack, "forgetting", self._forget())
        await self._run(stack, "room", self._keep_room())
        await self._run(stack, "deleted services", self.deleted.run())
        reconciler.wake_all()
        await self._run(stack, "reconciler", reconciler.run())

    async def _start_router(self) -> None:
        """On a full disk it cannot start, but services can be deleted to make room; until then it is tried again."""
        try:
            await self._router.start()
        except SetupError as error:
            if self.store.problem() is None:
                raise
            log.error("started without a router", reason=str(error))

    def _open_router(self, port: int) -> None:
        if self._host is None:
            return
        try:
            problem = self._host.open_router([port])
        except OSError as error:
            problem = str(error)
        if problem is not None:
            log.warning("services can connect to everything on this machine", reason=problem)

    async def _run(self, stack: AsyncExitStack, name: str, work: Coroutine[None, None, None]) -> None:
        self._loops.append(await stack.enter_async_context(_running(name, work)))

    def _keep_names(self, routes: list[Route]) -> None:
        self._resolution.keep(name for route in routes for name in route.names)

    async def _publish_all(self) -> None:
        """With the table of the last run when it cannot be replaced: all but the newest clients find their services."""
        try:
            await self._publisher.publish_all()
        except Unavailable as error:
            if not routes_file(self.settings.state).exists():
                raise
            log.error("started with the last route table", reason=str(error))

    async def _keep_room(self) -> None:
        """When the disk has room again, goes on at once with what waited for it."""
        well = True
        while True:
            was_well, well = well, await self.store.keep_room()
            if well and not was_well:
                log.info("the store can be written again")
                self.announce(self._api_url)
                self.reconciler.wake_all()
            await asyncio.sleep(ROOM_SECONDS)

    async def _forget(self) -> None:
        while True:
            try:
                await self.activities.forget_old()
                await self.answers.forget_old()
            except Unavailable as error:
                log.warning("what is old cannot be forgotten yet", reason=str(error))
            await asyncio.sleep(FORGETTING_SECONDS)

    async def _store_uses(self) -> None:
        while True:
            await asyncio.sleep(USES_SECONDS)
            await self._try_to_store_uses()

    async def _try_to_store_uses(self) -> None:
        try:
            await self.access.store_uses()
        except Unavailable as error:
            log.warning("uses of keys are not stored", reason=str(error))


@asynccontextmanager
async def _running(name: str, work: Coroutine[None, None, None]) -> AsyncGenerator[asyncio.Task[None]]:
    task = asyncio.create_task(work, name=name)
    try:
        yield task
    finally:
        task.cancel()
        ended = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ended[0], Exception):
            log.error("loop stopped", loop=name, exc_info=ended[0])


def _prepare(state: Path) -> None:
    """The state directory, unless it is somebody else's who lets us work in it. Others may pass through as root, since
    instances have OS users of their own."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        if state.stat().st_uid == os.geteuid():
            state.chmod(0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise SetupError(f"the state directory {state} cannot be prepared: {error.strerror}") from None
