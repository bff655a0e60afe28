"""A control plane of its own for each test: the real one, over an engine without Postgres."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fixtures.store import put_new_store

from api.client import Client
from api.document import Document
from api.fake_engine import FakeEngine
from api.wire import Wire
from howdah.api.app import create_app
from howdah.api.document import openapi_document
from howdah.cli.listening import HttpServer, listen
from howdah.control.plane import ControlPlane
from howdah.domain.organizations import Role
from howdah.domain.settings import ApiSettings, Settings


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Without a rate limit, since tests ask again and again until something has come about."""
    return Settings(state=tmp_path / "state", api=ApiSettings(rate_limit=0))


@pytest.fixture
async def plane(settings: Settings, engine: FakeEngine, tmp_path: Path) -> AsyncIterator[ControlPlane]:
    put_new_store(settings.state)
    async with ControlPlane(settings, lambda *_: engine, with_router=False) as plane:
        yield plane


@pytest.fixture(scope="session")
def document() -> Document:
    """What is served beside any plane; test_envelope.py compares."""
    return Document(json.loads(json.dumps(openapi_document())))


@pytest.fixture
async def client(plane: ControlPlane, document: Document) -> AsyncIterator[Client]:
    """An admin."""
    organization = plane.access.organizations()[0]
    key, secret = await plane.access.create_key(organization.id, name="test", role=Role.ADMIN, api_version=None)
    app = create_app(plane)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://howdah.test") as http:
        yield Client(http, document, plane, organization.id, (key.key_id, secret))


@pytest.fixture
async def reader(client: Client) -> Client:
    """A key that only reads."""
    return await client.with_key(Role.QUERY_ENDPOINTS)


@pytest.fixture
def nobody(client: Client) -> Client:
    """Without a key."""
    return replace(client, auth=None)


@pytest.fixture
async def wire(client: Client) -> AsyncIterator[Wire]:
    """The same application behind the real HTTP server."""
    listener = listen(ApiSettings(port=0))
    server = HttpServer(create_app(client.plane))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield Wire(listener.getsockname()[1])
    server.stop()
    await serving
