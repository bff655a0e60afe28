"""The disk that all servers of a service share is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from fixtures.disk import MIB, Disk, disk_of_its_own, server_on
from fixtures.server import Server, eventually

from ha.service import HaService, watched, with_standbys, writing

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount the disk that this fills")


@pytest.fixture
def disk() -> Iterator[Disk]:
    with disk_of_its_own(size_mib=700) as disk:
        yield disk


@pytest.fixture
def server(disk: Disk) -> Iterator[Server]:
    with server_on(disk) as server:
        yield server


def write_until_it_ends(service: HaService) -> None:
    """WAL, for which no commit waits, until the primary has no room for more."""
    with service.connect() as connection:
        while not connection.closed:
            with suppress(psycopg.Error):
                connection.execute("SELECT pg_logical_emit_message(false, 'much', repeat('x', 4000000))")


@pytest.mark.fault(
    "The disk is full, and the primary of a service with standbys ends of it",
    "no standby takes over, which would end of it too, and no data are deleted; the service is `unavailable` and says"
    " so, and goes on by itself once there is room; no acknowledged commit is lost",
)
@pytest.mark.parametrize("ha_type", ["sync", pytest.param("async", marks=pytest.mark.long)])
def test_nobody_takes_over_on_a_full_disk_and_all_goes_on_once_there_is_room(
    server: Server, disk: Disk, ha_type: str
) -> None:
    service = with_standbys(server, ha_type)
    standbys = len(service.standbys())
    first = {one.instance for one in service.postmasters().values()}

    def reason() -> str:
        return service.server.client.get(f"/v1/howdah/services/{service.id}").json()["result"].get("reason") or ""

    with writing(service) as writer, watched(service):
        disk.fill(leave=8 * MIB)
        write_until_it_ends(service)
        service.server.wait_until(service.id, "unavailable")
        eventually("it says why", lambda: "the disk is full, and until there is room no standby" in reason())
        assert service.changes() == []
        disk.make_room()
        writer.goes_on()
        service.wait_until_healthy(standbys)
    assert {one["id"] for one in service.members()} == first
    assert writer.missing() == []
