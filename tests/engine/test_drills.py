"""Drills with real servers: what is well passes, a tenant gains nothing by them, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.archived import archive_is, archived, backed_up, moment, timeline
from engine.drilled import done, drilled, left, servers, with_rows
from engine.local import QUICK_PROBE, Rig, connect, query, remove, settle, until
from howdah.backup.archive import TimelineArchive
from howdah.backup.confined import can_confine
from howdah.backup.errors import NotRestorableError, StoreError
from howdah.backup.wal import StoredWal, lsn
from howdah.domain.drills import ComparedTable, DrillResult
from howdah.domain.errors import Unavailable
from howdah.domain.services import ServiceStatus
from howdah.domain.settings import BackupSettings
from howdah.domain.states import PostgresVersion
from howdah.engines.local.drills import counting
from howdah.engines.local.drills import drills as module
from howdah.engines.local.drills.counting import count_before
from howdah.engines.local.engine import LocalEngine

pytestmark = pytest.mark.skipif(not can_confine(), reason="this kernel has no Landlock, or it is switched off")


@pytest.mark.parametrize("version", [pytest.param(PostgresVersion.V17, marks=pytest.mark.long), PostgresVersion.V18])
async def test_a_good_backup_passes_and_says_what_was_checked(rig: Rig, engine: LocalEngine, version: PostgresVersion):
    source = archived(version)
    status = await with_rows(engine, source)
    await query(status, "CREATE DATABASE \"a = 'b' %s\"")
    await query(status, "INSERT INTO kept VALUES (0, 'later')")
    before = await moment(status)
    result = await drilled(rig, engine, source)
    assert (result.problems, result.ok, result.checksums, result.not_compared) == ((), True, True, None)
    assert result.chain == tuple(base.name for base in await engine.backups(timeline(source)))
    assert result.tables == (ComparedTable("postgres", "public.kept", 5001, 5001, 5001),)
    assert result.until is not None
    assert (before - result.until).total_seconds() < 5
    assert result.relations > 400
    assert 10 << 20 < result.data_bytes < 100 << 20
    assert result.started_at < result.finished_at <= datetime.now(UTC)
    assert await rows_of(status) == 5001, "its source has changed"


async def test_a_service_that_rests_since_its_base_backup_is_counted(rig: Rig, engine: LocalEngine):
    """Its WAL ends before the header of a page then, and nobody writes what would move it on."""
    source = archived()
    status = await with_rows(engine, source)
    assert engine._archives is not None
    line = engine._archives.line(timeline(source))
    assert line is not None
    await count_before(line.serving)  # Who reads a row first, writes: its hint bits.
    ((end,),) = await query(status, "SELECT pg_switch_wal()::text")
    before = await count_before(line.serving)
    assert ([table.sql for table in before.counts], before.why) == (["public.kept"], None)
    assert before.position is not None
    assert before.position >= lsn(end)


async def rows_of(status: ServiceStatus) -> int:
    return (await query(status, "SELECT count(*) FROM kept"))[0][0]


@pytest.mark.long
async def test_a_service_whose_server_does_not_run_is_drilled_too(rig: Rig, engine: LocalEngine):
    source = archived()
    await with_rows(engine, source)
    shutil.rmtree(rig.paths(source).data)
    os.kill(rig.postmaster(source), 9)
    await until(engine, source, "it is gone", lambda status: not status.ready)
    result = await drilled(rig, engine, source)
    assert (result.problems, result.tables, result.checksums) == ((), (), True)
    assert result.not_compared == counting.NO_SERVER


async def test_what_a_tenant_has_set_neither_stops_a_drill_nor_runs_outside_of_it(rig: Rig, engine: LocalEngine):
    source = archived()
    status = await backed_up(engine, source)
    mark = open_to_all(rig) / "mark"
    harm = f"COPY (SELECT 1) TO PROGRAM ''touch {mark}''"
    for sql in (
        f"""CREATE FUNCTION harm() RETURNS event_trigger LANGUAGE plpgsql AS
        $$ BEGIN IF inet_client_addr() IS NULL THEN EXECUTE '{harm}'; END IF; END $$""",
        "CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION harm()",
        "ALTER EVENT TRIGGER at_login ENABLE ALWAYS",
        "CREATE EVENT TRIGGER at_command ON ddl_command_start EXECUTE FUNCTION harm()",
        f"ALTER SYSTEM SET archive_command = 'touch {mark}'",
        f"ALTER SYSTEM SET recovery_end_command = 'touch {mark}'",
        "ALTER SYSTEM SET local_preload_libraries = 'nothing'",
        "ALTER SYSTEM SET session_preload_libraries = 'nothing'",
        "ALTER SYSTEM SET shared_preload_libraries = 'nothing'",
        "CREATE EXTENSION amcheck",
        "CREATE TABLE kept AS SELECT n FROM generate_series(1, 100) n",
        "ALTER TABLE kept ENABLE ROW LEVEL SECURITY",
        f"""CREATE FUNCTION spy(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN IF inet_client_addr() IS NULL THEN EXECUTE '{harm}'; END IF; RETURN n; END $$""",
        "CREATE INDEX ON kept (spy(n))",
        "ALTER DATABASE postgres SET search_path = evil, pg_catalog",
        "ALTER ROLE postgres SET default_transaction_read_only = on",
    ):
        await query(status, sql)
    asked = replace(source, spec=replace(source.spec, backup=1))
    await settle(engine, asked)
    await archive_is(engine, asked, "a backup with all that", lambda status: len(status.bases) == 2)
    assert not mark.exists()
    result = await drilled(rig, engine, asked)
    assert result.problems == ()
    assert result.tables == (ComparedTable("postgres", "public.kept", 100, 100, 100),)
    assert not mark.exists()


def open_to_all(rig: Rig) -> Path:
    """A directory in which every user can write."""
    place = rig.top / "open"
    place.mkdir()
    place.chmod(0o777)
    return place


async def test_code_that_a_tenant_brings_to_run_in_a_drill_can_touch_nothing(rig: Rig, engine: LocalEngine):
    """It stands before Postgres' own function of that name, and only acts where it is not at home."""
    source = archived()
    status = await backed_up(engine, source)
    mark = open_to_all(rig) / "mark"
    connection = await connect(status)
    await connection.execute("SET allow_system_table_mods = on")
    await connection.execute(f"""CREATE FUNCTION pg_catalog.pg_relation_size(oid) RETURNS bigint LANGUAGE plpgsql AS
        $$ BEGIN
          IF current_setting('port') = '5432' THEN COPY (SELECT 1) TO PROGRAM 'touch {mark}'; END IF;
          RETURN pg_catalog.pg_relation_size($1::regclass);
        END $$""")  # pyright: ignore[reportArgumentType]
    await connection.close()
    result = await drilled(rig, engine, source)
    (problem,) = result.problems
    assert problem.startswith(
        f'database postgres cannot be read: the server refused: program "touch {mark}" failed DETAIL: child process'
    )
    assert not mark.exists()


async def test_a_killed_control_planes_drill_is_cleared_away(rig: Rig):
    place = rig.layout.pool / "drills" / "of-a-killed-one"
    place.mkdir(parents=True)
    (place / "closed").mkdir(mode=0)
    stray = subprocess.Popen(["/bin/sleep", "600"], cwd=place, start_new_session=True)
    try:
        async with rig.engine():
            assert (left(rig), stray.wait(timeout=10)) == ([], -9)
    finally:
        stray.kill()


async def test_a_drill_ends_with_the_backups_that_it_reads(rig: Rig, engine: LocalEngine):
    source = archived()
    await with_rows(engine, source)
    await engine.drill(timeline(source))
    assert await engine.drill(timeline(source)), "the one that is under way"
    await remove(engine, source)
    assert (left(rig), servers(rig)) == ([], [])
    assert (await engine.drills(timeline(source))).under_way is None


async def test_an_archive_out_of_reach_is_no_failed_backup(
    rig: Rig, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
):
    source = archived()
    await with_rows(engine, source)
    monkeypatch.setattr(module, "FIRST_WAIT", 0.5)
    reached = asyncio.Event()
    wal = TimelineArchive.wal

    def out_of_reach(self: TimelineArchive) -> list[StoredWal]:
        if not reached.is_set():
            raise StoreError("the archive is out of reach")
        return wal(self)

    monkeypatch.setattr(TimelineArchive, "wal", out_of_reach)
    began = await engine.drill(timeline(source))
    async with asyncio.timeout(60):
        while (found := (await engine.drills(timeline(source))).under_way) is None or found.problem is None:
            await asyncio.sleep(0.05)
    assert found.problem == "the archive is out of reach"
    reached.set()
    async with asyncio.timeout(60):
        while (status := await engine.drills(timeline(source))).under_way is not None:
            await asyncio.sleep(0.05)
    assert [(result.started_at, result.problems) for result in status.results] == [(began, ())]


@pytest.mark.long
async def test_the_schedule_does_one_by_itself(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "TICK", 0.1)
    rig = Rig(backup=BackupSettings(drill_interval_days=1 / 86400))
    try:
        async with rig.engine(QUICK_PROBE) as engine:
            source = archived()
            await backed_up(engine, source)
            end = time.monotonic() + 60
            while not (found := await engine.drills(timeline(source))).results:
                assert time.monotonic() < end
                await asyncio.sleep(0.05)
            assert found.results[-1].problems == ()
            assert found.next_at is not None
    finally:
        rig.clean()


async def test_where_nothing_can_be_confined_a_drill_is_refused(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "can_confine", lambda: False)
    with pytest.raises(Unavailable, match="drills need a kernel with Landlock"):
        await engine.drill(timeline(archived()))


async def test_there_must_be_something_to_restore(engine: LocalEngine):
    with pytest.raises(NotRestorableError, match="no base backup is completed"):
        await engine.drill(timeline(archived()))


async def test_one_asked_for_while_the_last_is_being_stored_is_another_one(
    rig: Rig, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, stored, go_on = archived(), threading.Event(), threading.Event()
    put = TimelineArchive.put_drill

    def slowly(archive: TimelineArchive, result: DrillResult) -> None:
        put(archive, result)
        stored.set()
        assert go_on.wait(30)

    await backed_up(engine, source)
    monkeypatch.setattr(TimelineArchive, "put_drill", slowly)
    first = await engine.drill(timeline(source))
    assert await asyncio.to_thread(stored.wait, 60)
    asked = asyncio.create_task(engine.drill(timeline(source)))
    await asyncio.wait([asked], timeout=0.3)
    go_on.set()
    assert await asked > first
    assert (await done(rig, engine, source)).started_at == await asked
