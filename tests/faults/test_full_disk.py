"""A state directory on a disk of its own that is filled to the last byte."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from faults.rebooting import reboot
from fixtures.disk import MIB, Disk, disk_of_its_own, server_on
from fixtures.server import NEW_SERVICE, Server, eventually

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount the disk that this fills")


@pytest.fixture
def disk() -> Iterator[Disk]:
    with disk_of_its_own() as disk:
        yield disk


@pytest.fixture
def server(disk: Disk) -> Iterator[Server]:
    with server_on(disk) as server:
        yield server


def post(server: Server) -> httpx.Response:
    return server.client.post(server.services, json=NEW_SERVICE)


def refused(server: Server) -> httpx.Response:
    """A create that has no room; those before it may have found the last of it."""

    def answer() -> httpx.Response | None:
        found = post(server)
        return found if found.status_code != 200 else None

    return eventually("a create is refused", answer, every=0)


def not_ready(server: Server) -> str | None:
    answer = server.client.get("/readyz")
    return answer.json()["error"] if answer.status_code == 503 else None


def insert(service: dict[str, Any]) -> None:
    with psycopg.connect(service["connectionString"], connect_timeout=10) as connection:
        connection.execute("create table if not exists kept (n int)")
        connection.execute("insert into kept values (1)")


def count(service: dict[str, Any]) -> int:
    with psycopg.connect(service["connectionString"], connect_timeout=10) as connection:
        (found,) = connection.execute("select count(*) from kept").fetchone() or (0,)
        return found


@pytest.mark.fault(
    what="The disk of the state directory is full",
    then="Changes answer 503 with the reason, reads and running services go on, DELETE works and makes room, /readyz"
    " says so; once there is room everything goes on by itself",
)
def test_a_full_disk_stops_changes_and_nothing_else(server: Server, disk: Disk) -> None:
    kept, doomed = server.running(), server.running()
    insert(kept)
    disk.fill()

    answer = refused(server)
    assert answer.status_code == 503, answer.text
    assert "the store cannot be written: database or disk is full; nothing was changed" in answer.json()["error"]
    rename = server.client.patch(f"{server.services}/{kept['id']}", json={"name": "n" * 40})
    assert rename.status_code == 503, rename.text
    assert server.get(kept["id"])["name"] == kept["name"]
    assert {kept["id"], doomed["id"]} <= {shown["id"] for shown in server.call("GET", "")}
    assert count(kept) == 1
    assert "store: " in (not_ready(server) or "")

    accepted = [shown["id"] for shown in server.call("GET", "") if shown["state"] == "creating"]
    for service in (*accepted, doomed["id"]):
        server.call("DELETE", f"/{service}")
        server.wait_until_gone(service)
    eventually("the server is ready by itself", lambda: not not_ready(server))
    insert(kept)
    assert count(kept) == 2
    disk.make_room()
    server.running()


@pytest.mark.fault(
    what="The control plane is killed and started while the disk is full",
    then="It starts with the last route table, takes over what runs and says in /readyz what is wrong; DELETE works",
)
def test_a_start_on_a_full_disk_takes_over_what_runs(server: Server, disk: Disk) -> None:
    kept, doomed = server.running(), server.running()
    insert(kept)
    before = server.postmaster(kept["id"])
    disk.fill()
    server.kill()
    disk.fill()
    server.start(until="/healthz")

    assert "store: its disk is full" in (not_ready(server) or "")
    assert server.get(kept["id"])["state"] == "running"
    assert server.postmaster(kept["id"]) == before
    assert count(kept) == 1
    disk.fill()
    server.call("DELETE", f"/{doomed['id']}")
    server.wait_until_gone(doomed["id"])
    eventually("the server is ready by itself", lambda: not not_ready(server))
    assert doomed["id"] not in (server.state / "routes.json").read_text()


@pytest.mark.long
@pytest.mark.fault(
    what="The machine reboots with a full disk, so that neither the router nor a Postgres can start",
    then="The control plane starts all the same and says what is missing; after a DELETE everything comes back by"
    " itself",
)
def test_a_reboot_with_a_full_disk_is_mended_by_a_delete(server: Server, disk: Disk) -> None:
    kept, doomed = server.running(), server.running()
    insert(kept)
    disk.fill()
    reboot(server)
    (server.state / "router" / "status.json").unlink()
    disk.fill()
    server.start(until="/healthz")

    assert "router: " in (not_ready(server) or "")
    server.call("DELETE", f"/{doomed['id']}")
    server.wait_until_gone(doomed["id"])
    eventually("the server is ready by itself", lambda: not not_ready(server))
    server.wait_until(kept["id"], "running")
    assert count(kept) == 1


@pytest.mark.fault(
    what="The disk fills up while services are being created",
    then="Those that found no room say so in their state, and run as soon as there is room",
)
def test_a_service_that_found_no_room_runs_once_there_is(server: Server, disk: Disk) -> None:
    disk.fill(leave=2 * MIB)
    created = server.create()

    def reason() -> str | None:
        return server.client.get(f"/v1/howdah/services/{created['id']}").json()["result"].get("reason")

    assert "No space left" in eventually("the reason is shown", reason)
    disk.make_room()
    server.wait_until(created["id"], "running")
