"""Howdah's API, whole, over an engine without Postgres: says on a line where it listens, serves until its input ends.

python whole.py STATE COUNT        COUNT services of an organization are stored before
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))
# Before that: their package "api" is meant, not the benchmark of that name.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from api.fake_engine import FakeEngine
from control.planes import until
from scale.stored import multiply

from howdah.api.app import create_app
from howdah.cli.listening import HttpServer, listen
from howdah.cli.logs import set_up_logs
from howdah.control.plane import ControlPlane
from howdah.domain.organizations import Role
from howdah.domain.services import NewService
from howdah.domain.settings import ApiSettings, Settings
from serving.input import until_input_ends

NEW = NewService(name="my postgres", provider="aws", region="us-west-2", size="r8gd.large")


async def serve(state: Path, count: int) -> None:
    settings = Settings(state=state, api=ApiSettings(rate_limit=0))
    async with ControlPlane(settings, lambda *_: FakeEngine(), with_router=False) as plane:
        organization = plane.access.organizations()[0].id
        key, secret = await plane.access.create_key(organization, name="bench", role=Role.ADMIN, api_version=None)
        first = await plane.services.create(organization, NEW)
        await until("the first service runs", lambda: plane.services.get(organization, first.id).state == "running")
        if count > 1:
            await multiply(plane, first.id, organization, count - 1)
        listener = listen(ApiSettings(port=0))
        server = HttpServer(create_app(plane))
        path = f"/v1/organizations/{organization}/postgres"
        said = {"port": listener.getsockname()[1], "auth": f"{key.key_id}:{secret}", "path": path, "id": first.id.ubid}
        print(json.dumps(said), flush=True)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await until_input_ends()
        server.stop()
        await serving


if __name__ == "__main__":
    set_up_logs()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
