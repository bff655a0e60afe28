"""Hundreds of services that run on one machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from fixtures.server import NEW_SERVICE, Server, eventually
from fixtures.usage import Usage, look

COUNT = int(os.environ.get("HOWDAH_TEST_SERVICES", "300"))
MOST_MB = 200
"""That the control plane may take, beside so many services."""

pytestmark = pytest.mark.long


def states(server: Server) -> list[str]:
    return [service["state"] for service in server.call("GET", "")]


def create_at_once(server: Server, count: int) -> None:
    with ThreadPoolExecutor(32) as pool:
        made = [pool.submit(server.client.post, server.services, json=NEW_SERVICE) for _ in range(count)]
        assert {one.result().status_code for one in made} == {200}


def usage(server: Server) -> dict[str, Usage]:
    assert server.process is not None
    return look(server.state, server.process.pid)


def test_services_created_at_once_all_run_stay_up_and_are_adopted(new_server: Callable[..., Server]) -> None:
    server = new_server(env={"HOWDAH_BACKUP_ARCHIVE": "", "HOWDAH_BACKUP_INTERVAL_HOURS": "24"})
    create_at_once(server, COUNT)

    progress: list[int] = []

    def all_run() -> bool:
        progress.append(states(server).count("running"))
        return progress[-1] == COUNT

    eventually(f"{COUNT} services run", all_run, within=900, every=1.0)
    assert progress == sorted(progress), "one that ran did not stay up"
    assert len(set(progress)) > 2, "they were not ready one after another"

    before = set(server.postmasters())
    assert len(before) == COUNT
    assert usage(server)["control plane"].memory < MOST_MB

    server.kill()
    server.start()
    assert states(server).count("running") == COUNT
    eventually("all are looked at", lambda: server.log.count("local engine started") == 2, within=60)
    assert set(server.postmasters()) == before


def test_the_first_of_many_are_ready_before_the_last(new_server: Callable[..., Server]) -> None:
    """In the order in which they were created, but for those that are made at the same time."""
    server = new_server()
    made = [server.create()["id"] for _ in range(60)]
    ready: dict[str, int] = {}

    def all_ready() -> bool:
        for service in server.call("GET", ""):
            if service["state"] == "running":
                ready.setdefault(service["id"], len(ready))
        return len(ready) == len(made)

    eventually("all run", all_ready, within=300, every=0.1)
    late = [abs(ready[service] - place) for place, service in enumerate(made)]
    assert max(late) < 40, late
