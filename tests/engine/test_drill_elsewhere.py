"""A drill of backups in an object store."""

from __future__ import annotations

import pytest
from fixtures.object_store import BUCKET, SECRET, ObjectStore

from engine.archived import archived, timeline
from engine.drilled import drilled, with_rows
from engine.local import QUICK_PROBE, Rig
from howdah.backup.confined import can_confine
from howdah.domain.drills import ComparedTable
from howdah.domain.settings import BackupSettings


@pytest.mark.skipif(not can_confine(), reason="this kernel has no Landlock, or it is switched off")
async def test_backups_in_an_object_store_are_drilled_as_those_in_a_directory(object_store: ObjectStore):
    elsewhere = f"s3://{BUCKET}/drilled"
    settings = BackupSettings(elsewhere, object_store.url, s3_access_key="key", s3_secret_key=SECRET)
    rig = Rig(backup=settings)
    try:
        source = archived()
        async with rig.engine(QUICK_PROBE) as engine:
            await with_rows(engine, source)
            result = await drilled(rig, engine, source)
            assert (result.problems, result.ok, result.checksums) == ((), True, True)
            assert result.chain == tuple(base.name for base in await engine.backups(timeline(source)))
            assert result.tables == (ComparedTable("postgres", "public.kept", 5000, 5000, 5000),)
            assert (await engine.drills(timeline(source))).results == (result,)
        assert f"drilled/{timeline(source).ubid}/drills/" in object_store.listing()
    finally:
        rig.clean()
