"""The archive's disk, or the one where WAL waits for it, is full: the service goes on, and nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from fixtures.disk import Disk

from engine.archived import archive_is, archived, backed_up, receivers, rows_restored, timeline
from engine.local import QUICK_PROBE, Rig, query, settle

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount the disk that this fills")


@pytest.fixture(params=["archive", "spool"])
def disk(rig: Rig, request: pytest.FixtureRequest) -> Iterator[Disk]:
    place: str = request.param
    disk = Disk(rig.layout.state / place, size_mib=160)
    yield disk
    disk.remove()


async def test_a_full_disk_is_said_and_when_there_is_room_everything_is_archived(rig: Rig, disk: Disk):
    source = archived()
    async with rig.engine(QUICK_PROBE) as engine:
        status = await backed_up(engine, source)
        await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
        problem, last = None, 1
        while problem is None:  # What is archived meanwhile leaves room behind.
            assert last < 100, "it is not said"
            disk.fill()
            last += 1
            await query(status, f"INSERT INTO kept VALUES ({last})")
            await query(status, "SELECT pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()")
            problem = (await engine.archive_status(timeline(source))).problem
        assert "No space left" in problem
        assert (await settle(engine, source)).ready, "its server has nothing to do with it"
        last += 1
        await query(status, f"INSERT INTO kept VALUES ({last})")

        disk.make_room()
        await archive_is(
            engine, source, "it goes on", lambda found: not found.problem and receivers(rig, source), within=90
        )
        assert await rows_restored(engine, source, None) == list(range(1, last + 1))
        found = await engine.archive_status(timeline(source))
        assert found.window is not None
        assert found.window.gaps == ()
