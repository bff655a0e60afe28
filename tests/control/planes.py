"""Control planes on a fake engine, and what their tests ask again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from control.fake_engine import FakeEngine, World, _nothing
from cryptography import x509
from fixtures.store import put_new_store

from howdah.control.clock import Clock, utc_now
from howdah.control.plane import ControlPlane
from howdah.domain.drills import DrillJournal
from howdah.domain.ids import ServiceId
from howdah.domain.instances import InstanceRegistry
from howdah.domain.routes import Route, decode_routes
from howdah.domain.services import NewService
from howdah.domain.settings import Settings

NEW = NewService(name="my postgres", provider="aws", region="us-west-2", size="r8gd.large")


@dataclass
class Running:
    plane: ControlPlane
    engine: FakeEngine
    state: Path
    organization: UUID

    def route(self, service: ServiceId) -> Route | None:
        return self._route(service.ubid)

    def read_only_route(self, service: ServiceId) -> Route | None:
        return self._route(f"{service.ubid}-ro")

    def _route(self, key: str) -> Route | None:
        routes = decode_routes((self.state / "routes.json").read_bytes())
        return next((route for route in routes if route.service == key), None)

    def state_of(self, service: ServiceId) -> str:
        return self.plane.services.get(self.organization, service).state


@asynccontextmanager
async def running_plane(
    state: Path,
    world: World | None = None,
    *,
    settings: Settings | None = None,
    clock: Clock = utc_now,
    before: Callable[[str, ServiceId], Awaitable[None]] = _nothing,
    makes_store: bool = False,
) -> AsyncGenerator[Running]:
    """``makes_store``: it does that itself, too; else a new one is there already."""
    if not makes_store:
        put_new_store(state)
    made: list[FakeEngine] = []

    def make(registry: InstanceRegistry, _journal: DrillJournal) -> FakeEngine:
        made.append(FakeEngine(world or World(), registry, before))
        return made[0]

    settings = settings or Settings(state=state)
    plane = ControlPlane(settings, make, clock=clock, with_router=False)
    async with plane:
        yield Running(plane, made[0], state, plane.access.organizations()[0].id)


async def until(what: str, condition: Callable[[], bool], seconds: float = 10.0, *, every: float = 0.002) -> None:
    """Waits until ``condition`` holds; fails saying ``what`` did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        await asyncio.sleep(every)


def certified(running: Running, service: ServiceId) -> list[str]:
    """The names for which its servers have a certificate."""
    leaf = x509.load_pem_x509_certificate(running.engine.world.servers[service].certificate.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)
