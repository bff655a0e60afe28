"""Requests made up from the served document: whatever they are, the answer is one that the document describes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.client import SERVICE
from api.fake_engine import FakeEngine
from howdah.api.app import create_app
from howdah.api.operations import OPERATIONS
from howdah.cli.listening import HttpServer, listen
from howdah.control import members
from howdah.control.plane import ControlPlane
from howdah.domain.organizations import Role
from howdah.domain.services import NewService
from howdah.domain.settings import ApiSettings, Settings


def no_defect(_context: object, response: Any, _case: object) -> None:
    """What is not built says so with 501, and what cannot be done now, a switchover without a standby, with 503."""
    assert response.status_code != 500, response.text


CHECKS = [no_defect, status_code_conformance, content_type_conformance, response_schema_conformance]
BOUNDED = hypothesis_settings(
    max_examples=8, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


@dataclass
class Served:
    """A server in a thread of its own, since generated requests are sent one by one and wait."""

    url: str
    auth: tuple[str, str]
    ids: dict[str, str]

    @cached_property
    def operations(self) -> dict[str, Any]:
        """As the document describes them, by id."""
        schema = schemathesis.openapi.from_url(f"{self.url}/openapi.json")
        found = [described.ok() for described in schema.get_all_operations()]
        return {described.definition.raw["operationId"]: described for described in found}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    top = tmp_path_factory.mktemp("served")
    started, stop, found = threading.Event(), asyncio.Event(), []
    loop = asyncio.new_event_loop()
    serving = threading.Thread(target=loop.run_until_complete, args=(_serve(top, found, started, stop),))
    serving.start()
    assert started.wait(30), "the server did not start within 30 s"
    with pytest.MonkeyPatch.context() as patch:
        # It is asked for time and again, and no standby ever takes over here.
        patch.setattr(members, "SWITCHOVER_SECONDS", 0.2)
        yield found[0]
    loop.call_soon_threadsafe(stop.set)
    serving.join()
    loop.close()


async def _serve(top: Path, found: list[Served], started: threading.Event, stop: asyncio.Event) -> None:
    engine = FakeEngine()
    async with ControlPlane(
        Settings(state=top / "state", api=ApiSettings(rate_limit=0)), lambda *_: engine, with_router=False
    ) as plane:
        organization = plane.access.organizations()[0].id
        key, secret = await plane.access.create_key(organization, name="k", role=Role.ADMIN, api_version=None)
        service = await plane.services.create(organization, NewService(**SERVICE))
        listener = listen(ApiSettings(port=0))
        other, _ = await plane.access.create_key(organization, name="o", role=Role.ADMIN, api_version=None)
        (activity, *_) = plane.activities.page(organization, since=None, until=None, after=None, limit=1)
        ids = {
            "organizationId": str(organization),
            "postgresId": service.id.ubid,
            "keyId": str(other.id),  # not the one that asks, which a request made up could disable
            "activityId": str(activity.id),
        }
        found.append(Served(f"http://127.0.0.1:{listener.getsockname()[1]}", (key.key_id, secret), ids))
        server = HttpServer(create_app(plane))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        started.set()
        await stop.wait()
        server.stop()
        await serving


VERSIONS = pytest.mark.parametrize("version", ["preview", "beta"])
EVERY_OPERATION = pytest.mark.parametrize("operation", [operation.id for operation in OPERATIONS])


@VERSIONS
@EVERY_OPERATION
def test_generated_requests_get_documented_answers(served: Served, operation: str, version: str) -> None:
    check(served, operation, version, GenerationMode.POSITIVE, BOUNDED)


@pytest.mark.long
@pytest.mark.parametrize("mode", list(GenerationMode))
@VERSIONS
@EVERY_OPERATION
def test_many_generated_requests_get_documented_answers(
    served: Served, operation: str, version: str, mode: GenerationMode
) -> None:
    """``NEGATIVE``: those that break the rules of the document."""
    check(served, operation, version, mode, hypothesis_settings(BOUNDED, max_examples=200))


def check(served: Served, operation: str, version: str, mode: GenerationMode, bounds: hypothesis_settings) -> None:
    one = served.operations[operation]
    known = {} if operation == "postgresServiceDelete" else served.ids

    @bounds
    @given(case=one.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        case.path_parameters = {name: known.get(name, value) for name, value in (case.path_parameters or {}).items()}
        case.headers["Howdah-Api-Version"] = version
        case.call_and_validate(base_url=served.url, auth=served.auth, checks=CHECKS)

    with suppress(Unsatisfiable):  # Nothing breaks the rules of a call that takes nothing.
        send()
