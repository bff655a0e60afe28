"""What is planted in real backups is found by a drill and named."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.archived import archive_is, archived, timeline
from engine.drilled import drilled, full_backups_only, path_of, with_rows
from engine.local import Asked, Rig, query, settle
from engine.tampering import archive_of, change_in_base, flip, newest_base, swap_items
from howdah.backup.archive import TimelineArchive
from howdah.backup.confined import can_confine
from howdah.backup.wal import PARTIAL, StoredWal
from howdah.domain.backups import BackupKind
from howdah.domain.services import ServiceStatus
from howdah.domain.states import PostgresVersion
from howdah.engines.local.binaries import KNOWN
from howdah.engines.local.drills import counting, drill
from howdah.engines.local.engine import LocalEngine

pytestmark = pytest.mark.skipif(not can_confine(), reason="this kernel has no Landlock, or it is switched off")


async def test_a_flipped_bit_in_a_page_is_found_and_named():
    async with full_backups_only() as (rig, engine):
        source = archived()
        status = await with_rows(engine, source)
        path = await path_of(status, "kept")
        # All of the page is written again when WAL of after the backup has it: that of this one is from before.
        change_in_base(rig, source, path, lambda content: content.__setitem__(3 * 8192 + 5000, 0xEE))
        problems = (await drilled(rig, engine, source)).problems
    named = (
        f"the checksum of block 3 is wrong in the file {path}, which belongs to table public.kept in database postgres"
    )
    assert named in problems
    assert any(said.startswith("table public.kept in database postgres") for said in problems), problems


async def test_a_broken_index_whose_checksums_are_right_is_found_and_named():
    async with full_backups_only() as (rig, engine):
        source = archived()
        status = await with_rows(engine, source)
        path = await path_of(status, "kept_n")
        await engine.stop(source.spec.id)
        data = rig.paths(source).data
        content = bytearray((data / path).read_bytes())
        swap_items(1)(content)
        with (data / path).open("r+b") as file:
            file.write(content)
        for act in ("--disable", "--enable"):
            subprocess.run([*pg_checksums(rig), act, "--no-sync", "-D", str(data)], check=True, capture_output=True)
        asked = replace(source, spec=replace(source.spec, backup=2))
        await settle(engine, asked)
        await archive_is(engine, asked, "a backup of it", lambda status: status.bases[-1].request == 2)
        problems = (await drilled(rig, engine, asked)).problems
    assert len(problems) == 1, problems
    assert problems[0].startswith("index public.kept_n in database postgres: item order invariant violated")


async def test_a_page_that_is_damaged_in_the_service_is_named_by_the_base_backup_that_fails():
    async with full_backups_only() as (rig, engine):
        source = archived()
        status = await with_rows(engine, source)
        path = await path_of(status, "kept")
        await engine.stop(source.spec.id)
        flip(rig.paths(source).data / path, 3 * 8192 + 5000)
        asked = replace(source, spec=replace(source.spec, backup=2))
        await settle(engine, asked)
        # That its server is away for a moment is a problem, too.
        found = await archive_is(
            engine, asked, "it fails", lambda status: status.problem and "base backup" in status.problem
        )
    assert found.problem is not None
    said = f'checksum verification failed in file "./{path}", block 3'
    assert found.problem.startswith(f"no base backup can be taken: pg_basebackup failed: {said} (")
    assert found.problem.endswith("checksum error occurred)")


def pg_checksums(rig: Rig) -> list[str]:
    home = rig.layout.binaries / KNOWN[PostgresVersion.V18]
    return ["env", f"LD_LIBRARY_PATH={home}/lib", f"{home}/bin/pg_checksums"]


async def test_what_was_changed_in_the_archive_is_a_problem_of_the_backup(rig: Rig, engine: LocalEngine):
    source = archived()
    status = await with_rows(engine, source)
    await query(status, "SELECT pg_switch_wal()")
    await query(status, "CREATE TABLE later AS SELECT 1 AS n")
    await engine.restorable(timeline(source), None)  # All of that is in the archive.
    wal = max(path for path in (archive_of(rig, source) / "wal").iterdir() if PARTIAL not in path.name)
    flip(wal, wal.stat().st_size // 2)
    (problem,) = (await drilled(rig, engine, source)).problems
    assert f"{wal.name} is damaged" in problem
    flip(wal, wal.stat().st_size // 2)
    await full_one_instead(engine, source, status, 3)

    base = newest_base(rig, source) / "base.tar.zst"
    flip(base, base.stat().st_size // 2)
    (problem,) = (await drilled(rig, engine, source)).problems
    assert f"{base.parent.name}/base.tar.zst is damaged (its SHA-256" in problem
    instead = await full_one_instead(engine, source, status, 4)

    last = await drilled(rig, engine, source)
    assert (last.ok, last.chain) == (True, (instead,)), "what is damaged is still there"
    kept = (await engine.drills(timeline(source))).results
    assert [result.ok for result in kept] == [True, False, False]
    assert kept[0] == last


async def full_one_instead(engine: LocalEngine, source: Asked, status: ServiceStatus, count: int) -> str:
    """Nobody asks for it: nothing is built on what cannot be restored."""
    found = await archive_is(engine, source, "a full backup instead", lambda status: len(status.bases) == count)
    assert found.bases[-1].kind is BackupKind.FULL
    return found.bases[-1].name


async def test_wal_that_ends_too_early_is_missed(rig: Rig, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch):
    """Nothing in the archive says that there was more: recovery takes it for the end of all WAL."""
    source = archived()
    status = await with_rows(engine, source)
    await query(status, "DELETE FROM kept WHERE n > 4000")
    (end,) = (await query(status, "SELECT pg_walfile_name(pg_current_wal_lsn()), pg_current_wal_lsn() - '0/0'"))[:1]
    fetch = TimelineArchive.fetch_wal

    def cut(self: TimelineArchive, name: str, into: Path) -> bool:
        found = fetch(self, name, into)
        if name == end[0]:
            at = int(end[1]) % (16 << 20) - 2000
            with into.open("r+b") as file:
                file.seek(at)
                file.write(bytes((16 << 20) - at))
        return found

    monkeypatch.setattr(TimelineArchive, "fetch_wal", cut)
    monkeypatch.setattr(counting, "STATISTICS_SECONDS", 1.0)
    result = await drilled(rig, engine, source)
    problems = result.problems
    assert result.needs_base
    assert re.match(r"what was restored ends at \S+, though the service had written WAL until ", problems[0])
    assert re.fullmatch(
        r"table public.kept in database postgres has \d+ rows in what was restored; it had 4000 to 4000", problems[1]
    )


@pytest.mark.long
async def test_rows_that_come_and_go_meanwhile_are_no_problem(
    rig: Rig, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
):
    source = archived()
    status = await with_rows(engine, source)
    fetch = TimelineArchive.wal
    going = asyncio.get_running_loop()

    def with_more(self: TimelineArchive) -> list[StoredWal]:
        asyncio.run_coroutine_threadsafe(query(status, "INSERT INTO kept VALUES (1, 'guest')"), going).result(10)
        time.sleep(1.5)  # Until it is in the archive: nothing that can be asked says so while this thread is awaited.
        return fetch(self)

    async def count_and_remove(*given: object) -> object:
        await query(status, "DELETE FROM kept WHERE words = 'guest'")
        return await count(*given)  # type: ignore[arg-type]

    count = drill.count_after
    monkeypatch.setattr(TimelineArchive, "wal", with_more)
    monkeypatch.setattr(drill, "count_after", count_and_remove)
    result = await drilled(rig, engine, source)
    assert result.problems == ()
    (table,) = result.tables
    assert table.least <= table.restored <= table.most
    assert table.restored > 5000
