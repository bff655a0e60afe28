"""An engine without Postgres: what is wanted is so at once, unless a test says otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from howdah.domain.ids import ServiceId
from howdah.domain.services import Endpoint, ServiceSecrets, ServiceSpec, ServiceStatus
from howdah.engines.protocol import Removal


class FakeEngine:
    """``held``: services do not get ready. ``reason``: they do not, and this is why. ``keeps``: nothing goes away."""

    def __init__(self) -> None:
        self.held = False
        self.keeps = False
        self.reason: str | None = None

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def reconcile(self, spec: ServiceSpec, secrets: ServiceSecrets) -> ServiceStatus:  # noqa: ARG002
        there = Endpoint("127.0.0.1", 20001)
        if self.held or self.reason:
            return ServiceStatus(ready=False, settled=True, primary=there, reason=self.reason, retry_after=0.02)
        return ServiceStatus(
            ready=True,
            settled=True,
            primary=there,
            restart=spec.restart,
            password_version=spec.password_version,
            certificate=spec.certificate,
        )

    async def changes(self) -> AsyncIterator[ServiceId]:
        await asyncio.Event().wait()
        raise AssertionError
        yield

    async def remove(self, service: ServiceId) -> Removal:  # noqa: ARG002
        return Removal.STILL_THERE if self.keeps else Removal.REMOVED
