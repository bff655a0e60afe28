"""Speaks to the API over an in-memory transport; every answer is checked against the document that is served."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from api.document import Document
from howdah.control.plane import ControlPlane
from howdah.domain.organizations import ApiVersion, Role

SERVICE = {"name": "my postgres", "provider": "aws", "region": "us-west-2", "size": "r8gd.large"}
REQUEST_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass
class Client:
    """One key's view of the API."""

    http: httpx.AsyncClient
    document: Document
    plane: ControlPlane
    organization: UUID
    auth: tuple[str, str] | None

    @property
    def services(self) -> str:
        return f"/v1/organizations/{self.organization}/postgres"

    async def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The answer, whose envelope and document are checked. ``more``: what httpx takes."""
        answer = await self.http.request(method, path, **{"auth": self.auth, **more})
        self.document.check(method, path, answer)
        return answer

    async def result(self, method: str, path: str, **more: Any) -> Any:
        """The ``result`` of a call that must succeed."""
        answer = await self.send(method, path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json().get("result")

    async def refusal(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        """Status and error of a call that must fail."""
        answer = await self.send(method, path, **more)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()["error"]

    async def create(self, **fields: Any) -> dict[str, Any]:
        return await self.result("POST", self.services, json=SERVICE | fields)

    async def running(self, **fields: Any) -> dict[str, Any]:
        created = await self.create(**fields)
        return await self.in_state(created["id"], "running")

    async def in_state(self, service: str, state: str) -> dict[str, Any]:
        """The service, once it is in that state."""
        path, deadline = f"{self.services}/{service}", time.monotonic() + 10
        while (found := await self.result("GET", path))["state"] != state:
            assert time.monotonic() < deadline, f"{service} is {found['state']}, not {state}, after 10 s"
            await asyncio.sleep(0.005)
        return found

    async def with_key(self, role: Role, version: ApiVersion | None = None) -> Client:
        """The same organization by another key."""
        key, secret = await self.plane.access.create_key(
            self.organization, name=role.value, role=role, api_version=version
        )
        return Client(self.http, self.document, self.plane, self.organization, (key.key_id, secret))


async def eventually(what: str, probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not probe():
        assert time.monotonic() < deadline, f"{what}: not within 10 s"
        await asyncio.sleep(0.005)
