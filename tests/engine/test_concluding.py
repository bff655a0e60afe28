"""A service goes entirely, and all that it committed is in its archive."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from engine.archived import archive_is, archived, backed_up, moment, receivers, rows_restored, spool, timeline
from engine.local import QUICK_PROBE, Asked, Rig, connect, query, settle
from howdah.backup.archive import MARK
from howdah.backup.errors import StoreError
from howdah.domain.services import ServiceStatus
from howdah.domain.states import PostgresVersion
from howdah.engines.local.archiving.receiving import Receiving
from howdah.engines.local.engine import LocalEngine
from howdah.engines.protocol import Removal


async def concluded(engine: LocalEngine, asked: Asked, *, within: float = 60) -> None:
    """As the control plane does it, until nothing of the service runs."""
    end = time.monotonic() + within
    while (waits_for := await engine.conclude(asked.spec, hurry=False)) is not None:
        assert time.monotonic() < end, f"not concluded within {within} s: {waits_for}"
        await asyncio.sleep(0.02)


async def removed(engine: LocalEngine, asked: Asked) -> None:
    while await engine.remove(asked.spec.id, asked.spec.timeline) is not Removal.REMOVED:
        await asyncio.sleep(0.02)


async def kept(engine: LocalEngine, asked: Asked) -> None:
    while await engine.keep_backups(timeline(asked)) is not Removal.REMOVED:
        await asyncio.sleep(0.02)


def files_below(place: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in place.rglob("*") if file.is_file()}


@contextmanager
def out_of_reach(rig: Rig) -> Iterator[None]:
    archive = rig.layout.state / "archive"
    archive.rename(aside := archive.with_name("aside"))
    archive.write_text("in the way")
    try:
        yield
    finally:
        archive.unlink()
        aside.rename(archive)


async def write_until_it_ends(status: ServiceStatus) -> int:
    """Rows one after another, each committed; the last one that was acknowledged."""
    number = 0
    connection = await connect(status)
    try:
        while True:
            await connection.execute("INSERT INTO kept VALUES (%s)", [number + 1])
            number += 1
    except psycopg.Error:
        return number
    finally:
        await connection.close()


@pytest.mark.parametrize("version", [pytest.param(PostgresVersion.V17, marks=pytest.mark.long), PostgresVersion.V18])
async def test_all_that_was_committed_until_its_end_is_restored_and_nothing_else_is_left(
    rig: Rig, engine: LocalEngine, version: PostgresVersion
):
    source = archived(version)
    status = await backed_up(engine, source)
    await query(status, "CREATE TABLE kept (n int)")
    writing = asyncio.create_task(write_until_it_ends(status))
    while (await query(status, "SELECT count(*) FROM kept"))[0][0] < 100:
        await asyncio.sleep(0.01)
    seen, before = (await query(status, "SELECT max(n) FROM kept"))[0][0], await moment(status)
    await concluded(engine, source)
    last = await writing
    await removed(engine, source)
    await kept(engine, source)
    await kept(engine, source)  # again is fine

    assert rig.processes() == []
    assert not spool(rig, source).home.exists()
    assert rig.registry.of(source.spec.id) == ()
    await engine.restorable(timeline(source), None)
    rows = await rows_restored(engine, source, None)
    # One more may have been committed and not acknowledged.
    assert rows in (list(range(1, last + 1)), list(range(1, last + 2)))
    earlier = await rows_restored(engine, source, before)
    assert earlier == list(range(1, len(earlier) + 1))
    assert seen <= len(earlier) <= last

    assert await engine.forget_backups(timeline(source)) is Removal.REMOVED
    assert [path.name for path in (rig.layout.state / "archive").iterdir()] == [MARK]


@pytest.mark.parametrize("restarted", [False, True], ids=["the same control plane", "the next one"])
async def test_an_archive_out_of_reach_keeps_no_server_and_gets_the_rest_later(rig: Rig, restarted: bool):
    source = archived()
    async with rig.engine(QUICK_PROBE) as engine:
        status = await backed_up(engine, source)
        await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
        with out_of_reach(rig):
            await query(status, "INSERT INTO kept VALUES (2)")
            await concluded(engine, source)
            await removed(engine, source)
            with pytest.raises(StoreError):
                await engine.keep_backups(timeline(source))
            assert rig.processes() == []
        if not restarted:
            await kept(engine, source)
            assert await rows_restored(engine, source, None) == [1, 2]
    if restarted:
        async with rig.engine(QUICK_PROBE) as engine:
            await kept(engine, source)
            assert not spool(rig, source).home.exists()
            assert await rows_restored(engine, source, None) == [1, 2]


async def test_a_control_plane_that_dies_meanwhile_is_followed_by_one_that_goes_on(rig: Rig):
    source = archived()
    async with rig.engine(QUICK_PROBE) as engine:
        status = await backed_up(engine, source)
        await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
    await query(status, "INSERT INTO kept VALUES (2)")
    async with rig.engine(QUICK_PROBE) as engine:  # which was never told of the service but by its end
        await concluded(engine, source)
    async with rig.engine(QUICK_PROBE) as engine:
        await concluded(engine, source)
        await removed(engine, source)
    async with rig.engine(QUICK_PROBE) as engine:
        await kept(engine, source)
        assert await rows_restored(engine, source, None) == [1, 2]


async def test_a_first_base_backup_is_waited_for(rig: Rig, engine: LocalEngine):
    source = archived()
    status = await settle(engine, source)
    await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
    await concluded(engine, source)
    await removed(engine, source)
    await kept(engine, source)
    assert await rows_restored(engine, source, None) == [1]


async def test_a_receiver_that_hangs_does_not_keep_a_server(
    rig: Rig, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Receiving, "suspended", False)  # It hangs in a way that nobody sees.
    source = archived()
    status = await backed_up(engine, source)
    (receiver,) = receivers(rig, source)
    os.kill(receiver, signal.SIGSTOP)
    await query(status, "CREATE TABLE not_received ()")
    assert await engine.conclude(source.spec, hurry=False) == "its last WAL is received"
    assert await engine.conclude(source.spec, hurry=True) == "its server ends"
    await removed(engine, source)
    await kept(engine, source)
    assert rig.processes() == []
    await engine.restorable(timeline(source), None)


async def test_backups_are_deleted_by_one_while_others_bring_them_to_the_archive(rig: Rig, engine: LocalEngine):
    source = archived()
    await backed_up(engine, source)
    await concluded(engine, source)
    await removed(engine, source)
    keeping = [engine.keep_backups(timeline(source)) for _ in range(5)]
    await asyncio.gather(*keeping[:3], engine.forget_backups(timeline(source)), *keeping[3:])
    assert not spool(rig, source).home.exists()
    assert [path.name for path in (rig.layout.state / "archive").iterdir()] == [MARK]


async def test_backups_that_were_kept_are_not_overwritten_by_a_service_made_anew(rig: Rig, engine: LocalEngine):
    source = archived()
    status = await backed_up(engine, source)
    await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
    await concluded(engine, source)
    await removed(engine, source)
    await kept(engine, source)
    archive = rig.layout.state / "archive"
    before = files_below(archive)

    status = await settle(engine, source)  # What a copy of the store from before its first start asks for.
    await query(status, "SELECT pg_switch_wal()")
    found = await archive_is(engine, source, "it is said", lambda found: found.problem)
    assert found.problem is not None
    assert "holds the backups of another database" in found.problem
    assert files_below(archive) == before
    assert receivers(rig, source) == []
    assert await rows_restored(engine, source, None) == [1]
    await concluded(engine, source)
    await removed(engine, source)
    await kept(engine, source)
    assert files_below(archive) == before
