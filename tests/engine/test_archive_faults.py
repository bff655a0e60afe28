"""What happens to an archive when something dies, breaks or is out of reach: no row is lost, no hole is hidden."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import pytest
from fixtures.server import alive

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
from engine.local import QUICK_PROBE, Asked, Rig, kill_postmaster, query, remove, settle, until
from howdah.backup.errors import NotRestorableError, StoreError
from howdah.domain.backups import ArchiveStatus
from howdah.domain.services import ServiceStatus
from howdah.domain.settings import BackupSettings
from howdah.engines.local import restoring
from howdah.engines.local.archiving import archives
from howdah.engines.local.engine import LocalEngine


async def has_receiver(rig: Rig, asked: Asked, *, other_than: int | None = None) -> int:
    end = time.monotonic() + 30
    while not (found := [pid for pid in receivers(rig, asked) if pid != other_than and alive(pid)]):
        assert time.monotonic() < end, "nothing receives"
        await asyncio.sleep(0.02)
    return found[0]


async def test_a_receiver_that_is_killed_is_started_again_and_nothing_is_lost(rig: Rig, engine: LocalEngine):
    source = archived()
    status = await backed_up(engine, source)
    await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
    os.kill(killed := await has_receiver(rig, source), signal.SIGKILL)
    await query(status, "INSERT INTO kept VALUES (2)")
    assert await has_receiver(rig, source, other_than=killed)
    await query(status, "INSERT INTO kept VALUES (3)")
    assert await rows_restored(engine, source, None) == [1, 2, 3]


async def test_a_server_that_is_killed_loses_nothing(rig: Rig, engine: LocalEngine):
    source = archived()
    status = await backed_up(engine, source)
    await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
    await kill_postmaster(rig, engine, source)
    status = await settle(engine, source)
    await query(status, "INSERT INTO kept VALUES (2)")
    assert await rows_restored(engine, source, None) == [1, 2]


async def test_a_restart_has_a_new_receiver_at_once_and_no_gap(rig: Rig, engine: LocalEngine):
    source = archived()
    status = await backed_up(engine, source)
    await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
    before = await has_receiver(rig, source)
    source = source.restarted()
    status = await settle(engine, source)
    await query(status, "INSERT INTO kept VALUES (2)")
    await has_receiver(rig, source, other_than=before)
    assert await rows_restored(engine, source, None) == [1, 2]
    found = await engine.archive_status(timeline(source))
    assert found.window is not None
    assert found.window.gaps == ()


async def test_archiving_goes_on_without_a_control_plane_and_is_taken_over(rig: Rig):
    source = archived()
    async with rig.engine() as first:
        status = await backed_up(first, source)
        receiver = await has_receiver(rig, source)
    await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
    async with rig.engine() as second:
        await settle(second, source)
        assert await rows_restored(second, source, None) == [1]
        assert receivers(rig, source) == [receiver]


async def test_a_slot_that_its_tenant_drops_is_a_gap_that_is_shown_and_closed(rig: Rig):
    source = archived()
    async with rig.engine() as first:
        status = await backed_up(first, source)
        await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
        before = await moment(status)
        await query(status, "UPDATE kept SET n = 1")
        await first.restorable(timeline(source), before)  # It waits until all of this is archived.
    # Without a control plane nobody makes another one meanwhile.
    os.kill(await has_receiver(rig, source), signal.SIGSTOP)
    await query(status, "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots")
    await query(status, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    for _ in range(6):
        await query(status, "SELECT pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()")
        await query(status, "CHECKPOINT")
    await query(status, "INSERT INTO kept VALUES (2)")
    in_gap = await moment(status)
    await query(status, "INSERT INTO kept VALUES (3)")
    for pid in receivers(rig, source):
        os.kill(pid, signal.SIGCONT)

    async with rig.engine() as second:
        await settle(second, source)
        found = await archive_is(
            second,
            source,
            "the gap is closed",
            lambda found: found.window and any(gap.until for gap in found.window.gaps),
        )
        assert found.window is not None
        (gap,) = found.window.gaps
        assert gap.until is not None
        assert gap.since < in_gap < gap.until, (before, in_gap, gap)
        with pytest.raises(NotRestorableError, match="WAL is missing from"):
            await second.restorable(timeline(source), in_gap)
        assert await rows_restored(second, source, None) == [1, 2, 3]
        assert await rows_restored(second, source, before) == [1]


@pytest.fixture
def small_spool() -> Iterator[Rig]:
    made = Rig(backup=BackupSettings(spool_gib=0.1))
    yield made
    made.clean()


async def test_while_the_archive_is_out_of_reach_wal_waits_and_its_server_keeps_what_is_too_much(small_spool: Rig):
    source = archived()
    async with small_spool.engine(QUICK_PROBE) as engine:
        status = await backed_up(engine, source)
        await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
        archive = small_spool.layout.state / "archive"
        archive.rename(aside := archive.with_name("aside"))
        archive.write_text("in the way")
        for n in range(2, 12):
            await query(status, f"INSERT INTO kept VALUES ({n})")
            await query(status, "SELECT pg_switch_wal()")
            await asyncio.sleep(0.1)
        end = time.monotonic() + 30
        while receivers(small_spool, source):
            assert time.monotonic() < end, "it receives more than may wait"
            await asyncio.sleep(0.05)
        assert (await settle(engine, source)).ready, "its server has nothing to do with it"

        archive.unlink()
        aside.rename(archive)

        def goes_on(found: ArchiveStatus) -> bool:
            return found.problem is None and bool(receivers(small_spool, source))

        await archive_is(engine, source, "it goes on", goes_on, within=90)
        assert await rows_restored(engine, source, None) == list(range(1, 12))
        found = await engine.archive_status(timeline(source))
        assert found.window is not None
        assert found.window.gaps == ()


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("kind", "harm", "said"),
    [
        ("base/*/base.tar.zst", flipped, "is damaged"),
        pytest.param("base/*/base.tar.zst", cut, "is damaged", marks=pytest.mark.long),
        ("base/*/base.tar.zst", None, "is missing"),
        pytest.param("base/*/backup_manifest.zst", cut, "is damaged", marks=pytest.mark.long),
        ("base/*/backup.json", cut, "is damaged"),
        ("wal/*1.zst", flipped, "is damaged"),
    ],
)
async def test_damage_is_said_and_no_service_looks_fine_with_it(
    rig: Rig, engine: LocalEngine, kind: str, harm: Callable[[bytes], bytes] | None, said: str
):
    source = archived()
    status = await backed_up(engine, source)
    await query(status, "SELECT pg_switch_wal()")
    await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
    await engine.restorable(timeline(source), None)
    place = rig.layout.state / "archive" / timeline(source).ubid
    if kind.startswith("wal"):
        path = max(path for path in (place / "wal").glob("*.zst") if "partial" not in path.name)
    else:
        (path,) = place.glob(kind)
    if harm is None:
        path.unlink()
    else:
        path.write_bytes(harm(path.read_bytes()))

    copy = restored_from(source, None)
    failed = await until(engine, copy, "it says why", lambda status: status.reason is not None and not status.restoring)

    assert not failed.ready
    assert said in str(failed.reason)
    await remove(engine, copy)


async def test_a_service_whose_data_is_gone_is_restored_from_its_archive(
    rig: Rig, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(restoring, "CATCH_UP_SECONDS", 3.0)  # Nothing more comes, which nobody can know.
    source = archived()
    status = await backed_up(engine, source)
    await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
    await engine.restorable(timeline(source), None)
    await engine.stop(source.spec.id)
    shutil.rmtree(rig.paths(source).data)
    assert "data directory is missing" in str((await engine.reconcile(source.spec, source.secrets)).reason)
    assert await rows_restored(engine, source, None) == [1]


async def test_a_restoration_survives_the_death_of_its_control_plane_and_of_its_server(rig: Rig):
    source = archived()
    async with rig.engine() as first:
        status = await backed_up(first, source)
        await query(status, "CREATE TABLE kept AS SELECT generate_series(1, 200000) AS n")
        target = await moment(status)
        await query(status, "DELETE FROM kept")
        copy = restored_from(source, target)
        for _ in range(3):  # Its directory, a clone, its configuration: how far it comes is not the same each time.
            await first.reconcile(copy.spec, copy.secrets)
    async with rig.engine(QUICK_PROBE) as second:
        await settle(second, source)

        def begun(_: ServiceStatus) -> bool:
            return bool(rig.registry.of(copy.spec.id)) and rig.paths(copy).data.exists()

        await until(second, copy, "its data directory is there", begun)
        with suppress(AssertionError):  # It may not have been started yet.
            os.kill(rig.postmaster(copy), signal.SIGKILL)
        status = await settle(second, copy)
        assert await query(status, "SELECT count(*) FROM kept") == [(200000,)]


async def test_a_second_backup_is_a_full_one_where_an_incremental_one_is_refused(engine: LocalEngine):
    source = archived()
    status = await backed_up(engine, source)
    await query(status, "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; rm -rf pg_wal/summaries/*'")
    asked = replace(source, spec=replace(source.spec, backup=1))
    await settle(engine, asked)
    found = await archive_is(engine, asked, "a second one", lambda found: len(found.bases) == 2, within=120)
    assert found.bases[1].request == 1


async def test_a_receiver_that_died_before_its_segment_was_there_goes_on(rig: Rig, engine: LocalEngine):
    source = archived()
    status = await backed_up(engine, source)
    await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
    await engine.restorable(timeline(source), None)
    os.kill(killed := await has_receiver(rig, source), signal.SIGKILL)
    (growing,) = spool(rig, source).wal.glob("*.partial")
    os.truncate(growing, 5 * 1024 * 1024 + 4096)
    await query(status, "INSERT INTO kept VALUES (2)")
    await has_receiver(rig, source, other_than=killed)
    assert await rows_restored(engine, source, None) == [1, 2]


@pytest.mark.long
async def test_what_has_not_arrived_is_not_restored_without(rig: Rig, engine: LocalEngine):
    """With a receiver that does not receive nobody knows what is missing; what certainly is there can be restored."""
    source = archived()
    status = await backed_up(engine, source)
    await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
    before = await moment(status)
    await query(status, "INSERT INTO kept VALUES (2)")
    await engine.restorable(timeline(source), None)
    os.kill(receiver := await has_receiver(rig, source), signal.SIGSTOP)
    await query(status, "INSERT INTO kept VALUES (3)")
    after = await moment(status)

    for target in (None, after):
        with pytest.raises(StoreError, match="what was committed since is late"):
            await engine.restorable(timeline(source), target)
    await engine.restorable(timeline(source), before)

    os.kill(receiver, signal.SIGCONT)
    assert await rows_restored(engine, source, after) == [1, 2, 3]


async def test_what_a_service_left_that_is_gone_before_the_start_is_archived_and_restored(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(restoring, "CATCH_UP_SECONDS", 3.0)  # Nothing more comes, which nobody can know.
    source = archived()
    async with rig.engine() as first:
        status = await backed_up(first, source)
        await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
        await first.restorable(timeline(source), None)
    await query(status, "INSERT INTO kept VALUES (2)")
    target = await moment(status)
    received = spool(rig, source).wal
    newest = max(path.stat().st_mtime_ns for path in received.iterdir())
    end = time.monotonic() + 10
    while newest == max(path.stat().st_mtime_ns for path in received.iterdir()) and time.monotonic() < end:
        await query(status, "SELECT pg_logical_emit_message(false, 'x', 'x', true)")
        await asyncio.sleep(0.05)
    os.kill(rig.postmaster(source), signal.SIGKILL)
    shutil.rmtree(rig.paths(source).data)
    async with rig.engine() as second:
        status = await until(second, source, "it says why", lambda status: status.reason is not None)
        assert "data directory is missing" in str(status.reason)
        assert await rows_restored(second, source, target) == [1, 2]


@pytest.mark.long
async def test_a_hole_that_a_late_receiver_hides_is_found(rig: Rig, engine: LocalEngine):
    """When WAL was received says nothing of what is in it."""
    source = archived()
    status = await backed_up(engine, source)
    await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
    before = await moment(status)
    os.kill(receiver := await has_receiver(rig, source), signal.SIGSTOP)
    segments: list[str] = []
    moments: list[datetime] = []
    for n in range(2, 6):
        await query(status, "SELECT pg_switch_wal()")
        await query(status, f"INSERT INTO kept VALUES ({n})")
        segments.append((await query(status, "SELECT pg_walfile_name(pg_current_wal_lsn())"))[0][0])
        moments.append(await moment(status))
    await query(status, "SELECT pg_switch_wal()")
    os.kill(receiver, signal.SIGCONT)
    await engine.restorable(timeline(source), None)
    (rig.layout.state / "archive" / timeline(source).ubid / "wal" / f"{segments[1]}.zst").unlink()

    copy = restored_from(source, moments[2])
    failed = await until(engine, copy, "it says why", lambda status: status.reason is not None and not status.restoring)

    assert f"the WAL segment {segments[1]} is missing" in str(failed.reason)
    await remove(engine, copy)
    assert await rows_restored(engine, source, before) == [1], "what certainly ends before it"


async def test_without_backups_nothing_of_them_goes_on(rig: Rig):
    source = archived()
    async with rig.engine() as first:
        await backed_up(first, source)
        assert receivers(rig, source)
    rig.settings = replace(rig.settings, backup=BackupSettings("off"))
    async with rig.engine() as second:
        await settle(second, source)
        assert not [pid for pid in receivers(rig, source) if alive(pid)]
        await remove(second, source)
        assert not spool(rig, source).home.exists()


async def test_a_receiver_of_a_service_that_nobody_knows_is_ended(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """After an older store was restored: its spool would grow for ever."""
    source = archived()
    async with rig.engine() as first:
        await backed_up(first, source)
    (receiver,) = receivers(rig, source)
    monkeypatch.setattr(archives, "CLAIM_SECONDS", 0.0)
    async with rig.engine():
        end = time.monotonic() + 20
        while alive(receiver):
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
