"""A server that is killed in the middle of a POST: sent again, it was done once, whatever the moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from api.fake_engine import FakeEngine
from howdah.api.app import create_app
from howdah.control.plane import ControlPlane
from howdah.domain.organizations import Role
from howdah.domain.settings import ApiSettings, Settings

HEADERS = {"Idempotency-Key": "once"}
SERVICE = {"name": "my postgres", "provider": "aws", "region": "us-west-2", "size": "r8gd.large"}
KEY = {"name": "made", "roles": ["admin"]}

KILLED_AT_EVERY_STEP = """
import asyncio, json, os, shutil, signal, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from api.test_killed_requests import ask, serving

state, organization, auth = Path(sys.argv[2]), sys.argv[3], (sys.argv[4], sys.argv[5])

async def killed_at(wanted, state):
    step = 0

    def boundary(*_):
        nonlocal step
        step += 1
        if step == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    async with serving(state) as plane:
        plane.store._connection.set_trace_callback(boundary)  # before each statement of each transaction
        await ask(plane, organization, auth)
        boundary()
        os._exit(0)

for wanted in range(1, 200):
    copy = state.with_name(f"killed{wanted}")
    shutil.copytree(state, copy)
    child = os.fork()  # instead of another start of Python
    if child == 0:
        asyncio.run(killed_at(wanted, copy))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0:
        break
    assert status == -signal.SIGKILL, status
"""


def serving(state: Path) -> ControlPlane:
    engine = FakeEngine()
    engine.held = True  # so that nothing is written but what the requests write
    return ControlPlane(Settings(state, api=ApiSettings(rate_limit=0)), lambda *_: engine, with_router=False)


async def ask(plane: ControlPlane, organization: str, auth: tuple[str, str]) -> list[Any]:
    """A service and a key, each with an Idempotency-Key."""
    transport = httpx.ASGITransport(create_app(plane))
    async with httpx.AsyncClient(transport=transport, base_url="http://howdah.test", auth=auth) as http:
        results = []
        for what, body in (("postgres", SERVICE), ("keys", KEY)):
            answer = await http.post(f"/v1/organizations/{organization}/{what}", json=body, headers=HEADERS)
            assert answer.status_code == 200, answer.text
            results.append(answer.json()["result"])
        return results


async def test_a_post_that_is_killed_at_any_statement_and_sent_again_is_done_once(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with serving(state) as plane:
        organization = plane.access.organizations()[0].id
        key, secret = await plane.access.create_key(organization, name="k", role=Role.ADMIN, api_version=None)
    auth = (key.key_id, secret)
    arguments = [str(Path(__file__).parent.parent), str(state), str(organization), *auth]
    subprocess.run([sys.executable, "-c", KILLED_AT_EVERY_STEP, *arguments], check=True, timeout=120)
    copies = sorted(tmp_path.glob("killed*"))
    assert len(copies) > 15
    for copy in copies:
        async with serving(copy) as plane:
            service, made = await ask(plane, str(organization), auth)
            assert await ask(plane, str(organization), auth) == [service, made]
            assert [one.id.ubid for one in plane.services.list(organization)] == [service["id"]], copy
            (new,) = [one for one in plane.access.keys(organization) if one.name == "made"]
            assert str(new.id) == made["key"]["id"], copy
            done = plane.activities.page(organization, since=None, until=None, after=None, limit=10)
            assert [activity.deed.type for activity in done][:-3] == ["key_create", "service_create"], copy
