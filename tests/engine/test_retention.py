"""What is older than the window goes, and all that is in it can be restored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.archived import archive_is, archived, backed_up, moment, rows_restored, timeline
from engine.local import QUICK_PROBE, Rig, query, settle, until
from howdah.backup.archive import open_archive
from howdah.domain.settings import BackupSettings
from howdah.engines.local.archiving import upkeep


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Nothing is kept but what is needed to restore the last moment, and that is looked after all the time."""
    monkeypatch.setattr(upkeep, "FIRST_SECONDS", 0)
    monkeypatch.setattr(upkeep, "EVERY_SECONDS", 1)
    made = Rig(backup=BackupSettings(retention_days=0, chain=0))
    yield made
    made.clean()


async def test_old_backups_and_their_wal_go(rig: Rig):
    source = archived()
    async with rig.engine(QUICK_PROBE) as engine:
        status = await backed_up(engine, source)
        first = status.earliest_restore
        await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
        for _ in range(3):
            await query(status, "SELECT pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()")
        source = replace(source, spec=replace(source.spec, backup=1))
        await settle(engine, source)
        found = await archive_is(
            engine,
            source,
            "the old one is gone",
            lambda found: [base.request for base in found.bases] == [1],
        )
        status = await until(engine, source, "it says so", lambda status: status.earliest_restore != first)
        assert status.earliest_restore == found.bases[0].finished_at
        archive = open_archive(BackupSettings(), rig.layout.state).timeline(timeline(source))
        assert archive.wal()[0].segment.start <= int(found.bases[0].start_lsn.replace("0/", ""), 16)
        assert archive.wal()[0].segment.number > 3
        after = await moment(status)
        await query(status, "INSERT INTO kept VALUES (2)")
        assert await rows_restored(engine, source, after) == [1]
        assert await rows_restored(engine, source, None) == [1, 2]


async def test_a_service_is_kept_as_long_as_its_tag_says(rig: Rig):
    source = archived()
    source = replace(source, spec=replace(source.spec, retention_days=1))
    async with rig.engine(QUICK_PROBE) as engine:
        status = await backed_up(engine, source)
        source = replace(source, spec=replace(source.spec, backup=1))
        await settle(engine, source)
        found = await archive_is(engine, source, "another is there", lambda found: len(found.bases) == 2)
        source = replace(source, spec=replace(source.spec, retention_days=None))
        await settle(engine, source)
        await archive_is(engine, source, "the old one is gone", lambda found: len(found.bases) == 1)
        assert found.window is not None
        assert found.window.earliest == status.earliest_restore
