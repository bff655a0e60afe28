"""What goes wrong with the archive by itself, behind our back, is seen, said, and mended where it can be."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from engine.archived import archive_is, archived, backed_up, receivers, rows_restored, timeline
from engine.local import QUICK_PROBE, Rig, query
from howdah.backup.errors import StoreError
from howdah.domain.backups import ArchiveStatus
from howdah.engines.local.archiving import archives, lateness, upkeep


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """All of it is looked after all the time."""
    monkeypatch.setattr(upkeep, "FIRST_SECONDS", 0)
    monkeypatch.setattr(upkeep, "EVERY_SECONDS", 1)
    monkeypatch.setattr(archives, "CLOSE_TICKS", 2)
    monkeypatch.setattr(lateness, "FRESH_SECONDS", 0)
    made = Rig()
    yield made
    made.clean()


def is_whole(found: ArchiveStatus) -> bool:
    return found.problem is None and found.waiting_bytes == 0 and found.broken is None


@pytest.mark.fault(
    what="A segment of WAL is lost in the archive",
    then="The service's health is critical at once; a full base backup is taken within the hour, and the gap is shown",
)
async def test_wal_that_is_lost_in_the_archive_is_a_gap_that_a_full_base_backup_closes(rig: Rig):
    source = archived()
    async with rig.engine(QUICK_PROBE) as engine:
        status = await backed_up(engine, source)
        await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
        for _ in range(3):
            await query(status, "SELECT pg_logical_emit_message(true, 'x', 'x'), pg_switch_wal()")
        await archive_is(engine, source, "all is there", is_whole)
        place = rig.layout.state / "archive" / timeline(source).ubid / "wal"
        victim = sorted(path for path in place.glob("*.zst") if "partial" not in path.name)[-2]
        victim.unlink()
        await archive_is(engine, source, "it is said", lambda found: found.broken and victim.name[:24] in found.broken)
        found = await archive_is(
            engine,
            source,
            "it is closed",
            lambda found: not found.broken and found.window and any(gap.until for gap in found.window.gaps),
        )
        assert found.bases[-1].parent is None
        assert await rows_restored(engine, source, None) == [1]


@pytest.mark.fault(
    what="The directory of the archive is gone, or another one is in its place: its disk is not mounted",
    then="Nothing is begun anew there: WAL waits, as for an archive out of reach, and goes there when it is back",
)
async def test_a_receiver_that_was_stopped_is_missed_and_an_archive_that_is_not_mounted_is_not_begun_anew(rig: Rig):
    source = archived()
    async with rig.engine(QUICK_PROBE) as engine:
        status = await backed_up(engine, source)
        await archive_is(engine, source, "all is there", is_whole)
        (receiver,) = receivers(rig, source)
        os.kill(receiver, signal.SIGSTOP)
        await query(status, "CREATE TABLE kept AS SELECT generate_series(1, 3) AS n")
        found = await engine.archive_status(timeline(source))
        assert found.waiting_bytes > 0
        await archive_is(engine, source, "another one receives it", is_whole)
        assert receivers(rig, source) != [receiver]

        archive = rig.layout.state / "archive"
        archive.rename(aside := archive.with_name("aside"))
        await query(status, "INSERT INTO kept VALUES (4)")
        with pytest.raises(StoreError, match="is its disk mounted"):
            await engine.archive_status(timeline(source))
    archive.mkdir(exist_ok=True)
    async with rig.engine(QUICK_PROBE) as engine:
        await query(status, "INSERT INTO kept VALUES (5)")
        assert list(archive.iterdir()) == []
        archive.rmdir()
        aside.rename(archive)
        await backed_up(engine, source)
        found = await archive_is(engine, source, "all of it is there", is_whole)
        assert found.window is not None
        assert found.window.gaps == ()
        assert await rows_restored(engine, source, None) == [1, 2, 3, 4, 5]
