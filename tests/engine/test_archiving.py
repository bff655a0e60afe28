"""Continuous archiving and restoration with real servers, through the engine alone."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from engine.archived import (
    archive_is,
    archived,
    backed_up,
    moment,
    receivers,
    restored_from,
    rows_restored,
    spool,
    timeline,
)
from engine.local import Rig, query, remove, settle, until
from howdah.backup.archive import MARK
from howdah.backup.errors import NotRestorableError
from howdah.domain.backups import BackupKind
from howdah.domain.services import ServiceStatus
from howdah.domain.states import PostgresVersion, ServiceState
from howdah.engines.local.engine import LocalEngine

VERSIONS = pytest.mark.parametrize("version", list(PostgresVersion))
NEWEST = pytest.mark.parametrize(
    "version", [pytest.param(PostgresVersion.V17, marks=pytest.mark.long), PostgresVersion.V18]
)
"""Those that take long run on 17 by `make test-long` only."""


@VERSIONS
async def test_a_service_is_restored_to_the_moment_before_a_mistake(engine: LocalEngine, version: PostgresVersion):
    source = archived(version)
    status = await backed_up(engine, source)
    await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
    await query(status, "INSERT INTO kept VALUES (2)")
    before = await moment(status)
    await query(status, "DROP TABLE kept")

    copy = restored_from(source, before)
    seen: list[ServiceState | None] = []

    def ready(status: ServiceStatus) -> bool:
        seen.append(status.restoring)
        return status.ready

    restored = await until(engine, copy, "it is restored", ready)

    assert await query(restored, "SELECT n FROM kept ORDER BY n") == [(1,), (2,)]
    assert seen[0] is ServiceState.RESTORING_BACKUP
    await query(restored, "INSERT INTO kept VALUES (3)")
    assert await query(status, "SELECT to_regclass('kept')") == [(None,)], "its source has changed"


@NEWEST
async def test_each_moment_has_what_was_committed_by_then_and_nothing_later(
    engine: LocalEngine, version: PostgresVersion
):
    await _restore_to_moments(engine, version, 3)


@pytest.mark.long
@VERSIONS
async def test_twenty_random_moments(engine: LocalEngine, version: PostgresVersion):
    await _restore_to_moments(engine, version, 20)


async def _restore_to_moments(engine: LocalEngine, version: PostgresVersion, number: int) -> None:
    source = archived(version)
    status = await backed_up(engine, source)
    await query(status, "CREATE TABLE kept (n int)")
    moments: list[datetime] = []
    for n in range(100):
        await query(status, f"INSERT INTO kept VALUES ({n})")
        moments.append(await moment(status))
        await asyncio.sleep(0.01)
        if n == 50:
            await query(status, "SELECT pg_switch_wal()")
    for n in random.sample(range(100), number):
        assert await rows_restored(engine, source, moments[n]) == list(range(n + 1))


async def test_everything_that_is_committed_is_restored_at_once(engine: LocalEngine):
    source = archived()
    status = await backed_up(engine, source)
    await query(status, "CREATE TABLE kept AS SELECT 7 AS n")
    assert await rows_restored(engine, source, None) == [7]
    # Nothing was written since, so that no WAL says how late it is.
    await asyncio.sleep(1.1)
    assert await rows_restored(engine, source, await moment(status)) == [7]


async def test_the_first_backup_is_taken_at_once_and_others_when_asked_for(engine: LocalEngine):
    source = archived()
    status = await backed_up(engine, source)
    (first,) = await engine.backups(timeline(source))
    assert (first.kind, first.parent, first.request) == (BackupKind.FULL, None, 0)
    await query(status, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")

    asked = replace(source, spec=replace(source.spec, backup=1))
    await settle(engine, asked)
    found = await archive_is(engine, asked, "a second backup", lambda status: len(status.bases) == 2)

    assert (found.bases[1].kind, found.bases[1].parent) == (BackupKind.INCREMENTAL, first.name)
    assert found.bases[1].request == 1
    assert found.bases[1].stored_bytes < first.stored_bytes
    await query(status, "INSERT INTO kept VALUES (0)")
    assert await rows_restored(engine, asked, None, "SELECT count(*) FROM kept") == [1001]


async def test_a_restored_service_is_a_line_of_its_own(rig: Rig, engine: LocalEngine):
    source = archived()
    await query(await backed_up(engine, source), "CREATE TABLE kept AS SELECT 1 AS n")
    copy = restored_from(source, None)
    status = await backed_up(engine, copy)
    await query(status, "INSERT INTO kept VALUES (2)")
    wal = sorted(path.name for path in (rig.layout.state / "archive" / timeline(source).ubid / "wal").iterdir())

    assert await rows_restored(engine, copy, None) == [1, 2]

    assert await rows_restored(engine, source, None) == [1]
    assert wal[0].startswith("00000001"), "its source goes on where it was"


@NEWEST
async def test_all_kinds_of_content_come_back(rig: Rig, engine: LocalEngine, version: PostgresVersion):
    """Twice over: from a service, and from the service that was restored from that one."""
    source = archived(version)
    status = await backed_up(engine, source)
    place = rig.paths(source).data / "elsewhere"
    for sql in (
        f"COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; mkdir {place}'",
        f"CREATE TABLESPACE elsewhere LOCATION '{place}'",
        "CREATE TABLE apart (n int) TABLESPACE elsewhere",
        "INSERT INTO apart VALUES (5)",
        "CREATE UNLOGGED TABLE volatile AS SELECT 1 AS n",
        "SELECT lo_from_bytea(4711, 'large')",
        "CREATE DATABASE second",
        "CREATE ROLE reader LOGIN",
    ):
        await query(status, sql)
    source = replace(source, spec=replace(source.spec, backup=1))
    await settle(engine, source)
    await archive_is(engine, source, "a backup with the tablespace", lambda status: len(status.bases) == 2)
    await query(status, "INSERT INTO apart VALUES (6)")
    copy = restored_from(source, None)
    await query(await backed_up(engine, copy), "INSERT INTO apart VALUES (7)")

    everything = (
        "SELECT (SELECT array_agg(n ORDER BY n) FROM apart)::text || (SELECT count(*) FROM volatile)"
        " || convert_from(lo_get(4711), 'UTF8') || (SELECT count(*) FROM pg_database WHERE datname = 'second')"
        " || (SELECT count(*) FROM pg_roles WHERE rolname = 'reader')"
    )
    assert await rows_restored(engine, copy, None, everything) == ["{5,6,7}0large11"]
    assert await query(status, "SELECT n FROM apart ORDER BY n") == [(5,), (6,)]


@pytest.mark.long
@NEWEST
async def test_a_tablespace_made_since_the_last_backup_stays_its_sources(
    rig: Rig, engine: LocalEngine, version: PostgresVersion
):
    """Replayed as it was logged it would be the same directory, for both servers."""
    source = archived(version)
    status = await backed_up(engine, source)
    for number in range(40):  # Some of their records go over the end of a page.
        place = rig.paths(source).data / f"elsewhere{number}" / ("x" * 150)
        await query(status, f"COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; mkdir -p {place}'")
        await query(status, f"CREATE TABLESPACE t{number} LOCATION '{place}'")
        await query(status, f"CREATE TABLE kept{number} (n int) TABLESPACE t{number}")
        await query(status, f"INSERT INTO kept{number} VALUES ({number})")
    before = await moment(status)
    await query(status, "UPDATE kept39 SET n = 1000")

    assert await rows_restored(engine, source, before, "SELECT n FROM kept39") == [39]
    assert await rows_restored(engine, source, None, "SELECT n FROM kept39") == [1000]
    assert await rows_restored(engine, source, None, "SELECT n FROM kept17") == [17]

    await query(status, "CHECKPOINT")
    assert await query(status, "SELECT n FROM kept17") == [(17,)]


async def test_a_moment_outside_of_the_window_is_refused(engine: LocalEngine):
    source = archived()
    earliest = (await backed_up(engine, source)).earliest_restore
    assert earliest is not None
    with pytest.raises(NotRestorableError, match="Restore target must be between"):
        await engine.restorable(timeline(source), earliest - timedelta(seconds=1))
    await engine.restorable(timeline(source), earliest)


async def test_nothing_is_left_of_a_removed_service(rig: Rig, engine: LocalEngine):
    source = archived()
    await backed_up(engine, source)
    copy = restored_from(source, None)
    await engine.reconcile(copy.spec, copy.secrets)  # It has begun, no more.
    assert receivers(rig, source)

    await remove(engine, copy)
    await remove(engine, source)

    assert rig.processes() == []
    assert not spool(rig, source).home.exists()
    assert [path.name for path in (rig.layout.state / "archive").iterdir()] == [MARK]
    assert list((rig.layout.pool / "restored").glob("*")) == []


async def test_a_source_is_removed_once_nothing_is_being_made_from_it(rig: Rig, engine: LocalEngine):
    source = archived()
    status = await backed_up(engine, source)
    await query(status, "CREATE TABLE kept AS SELECT generate_series(1, 300000) AS n")
    copy = restored_from(source, None)
    await until(engine, copy, "it has begun", lambda status: status.restoring is ServiceState.RESTORING_BACKUP)
    removal = asyncio.create_task(remove(engine, source))
    status = await settle(engine, copy)
    await removal
    assert await query(status, "SELECT count(*) FROM kept") == [(300000,)]
    assert not (rig.layout.state / "archive" / timeline(source).ubid).exists()
