"""What is put into an archive comes out as it was, or with a sentence that says what is wrong."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from howdah.backup.archive import MARK, TimelineArchive, open_archive
from howdah.backup.errors import DamageError, StoreError
from howdah.backup.packing import Packing
from howdah.backup.retention import Expendable
from howdah.backup.wal import SEGMENT_BYTES, Segment
from howdah.domain.backups import BackupKind, BaseBackup, Gap, backup_name
from howdah.domain.errors import SetupError
from howdah.domain.ids import TimelineId
from howdah.domain.settings import BackupSettings

NAME = "000000010000000000000003"
MOMENT = datetime(2026, 11, 25, 9, 30, 0, 250, tzinfo=UTC)


@pytest.fixture
def archive(tmp_path: Path) -> TimelineArchive:
    return open_archive(BackupSettings(), tmp_path).timeline(TimelineId.new())


def segment(path: Path, received: int = SEGMENT_BYTES) -> bytes:
    content = os.urandom(received - 1) + b"\1"
    path.write_bytes(content.ljust(SEGMENT_BYTES, b"\0"))
    return path.read_bytes()


def stored(archive: TimelineArchive, tmp_path: Path, what: str) -> Path:
    return tmp_path / "archive" / archive.id.ubid / what


def backup(**changes: object) -> BaseBackup:
    facts: dict[str, object] = {
        "name": "20261125T093000Z-full", "kind": BackupKind.FULL, "parent": None, "postgres": "18.6.0",
        "system_identifier": 7, "started_at": MOMENT, "finished_at": MOMENT, "start_lsn": "0/3000028",
        "stop_lsn": "0/3000100", "wal_timeline": 1, "stored_bytes": 0, "data_bytes": 30, "files": {}, "tablespaces": {},
    }  # fmt: skip
    return BaseBackup(**facts | changes)  # type: ignore[arg-type]


def test_a_segment_comes_back_as_it_was(archive: TimelineArchive, tmp_path: Path):
    content = segment(tmp_path / NAME)
    archive.put_wal(NAME, tmp_path / NAME)
    assert archive.fetch_wal(NAME, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert [(one.segment, one.partial) for one in archive.wal()] == [(Segment(1, 3), False)]


def test_a_directory_remembers_when_a_segment_was_received(archive: TimelineArchive, tmp_path: Path):
    segment(tmp_path / NAME)
    os.utime(tmp_path / NAME, (MOMENT.timestamp(), MOMENT.timestamp()))
    archive.put_wal(NAME, tmp_path / NAME)
    assert abs((archive.wal()[0].modified - MOMENT).total_seconds()) < 1e-3


def test_a_growing_segment_is_kept_as_far_as_it_came(archive: TimelineArchive, tmp_path: Path):
    content = segment(tmp_path / NAME, received=20_000)
    assert archive.put_partial(NAME, tmp_path / NAME, Packing())
    assert archive.wal()[0].partial
    assert archive.wal()[0].stored_bytes < 30_000
    assert archive.fetch_wal(NAME, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_a_segment_of_which_nothing_came_is_not_put(archive: TimelineArchive, tmp_path: Path):
    (tmp_path / NAME).write_bytes(bytes(SEGMENT_BYTES))
    assert not archive.put_partial(NAME, tmp_path / NAME, Packing())
    assert archive.wal() == []


def test_a_whole_segment_takes_the_place_of_its_growing_one(archive: TimelineArchive, tmp_path: Path):
    segment(tmp_path / NAME, received=20_000)
    archive.put_partial(NAME, tmp_path / NAME, Packing())
    content = segment(tmp_path / NAME)
    archive.put_wal(NAME, tmp_path / NAME)
    assert [one.partial for one in archive.wal()] == [False]
    archive.fetch_wal(NAME, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_a_segment_that_is_not_there_is_not_made_up(archive: TimelineArchive, tmp_path: Path):
    assert not archive.fetch_wal(NAME, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_changed_byte_of_a_segment_is_found(archive: TimelineArchive, tmp_path: Path):
    segment(tmp_path / NAME)
    archive.put_wal(NAME, tmp_path / NAME)
    file = stored(archive, tmp_path, f"wal/{NAME}.zst")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamageError, match=NAME):
        archive.fetch_wal(NAME, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_base_backup_counts_with_its_facts(archive: TimelineArchive, tmp_path: Path):
    files = tmp_path / "taken"
    files.mkdir()
    (files / "base.tar.zst").write_bytes(b"tar")
    (files / "backup_manifest").write_bytes(b"{}")
    done = archive.put_base(backup(), files)
    assert archive.bases() == [done]
    archive.fetch_base(done, "base.tar.zst", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"tar"
    archive.manifest(done, tmp_path / "manifest")
    assert (tmp_path / "manifest").read_bytes() == b"{}"
    stored(archive, tmp_path, f"base/{done.name}/backup.json").unlink()
    assert archive.bases() == []


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"tax"), lambda file: file.unlink()])
def test_a_changed_or_missing_file_of_a_base_backup_is_found(
    archive: TimelineArchive, tmp_path: Path, damage: Callable[[Path], object]
):
    files = tmp_path / "taken"
    files.mkdir()
    (files / "base.tar.zst").write_bytes(b"tar")
    done = archive.put_base(backup(), files)
    damage(stored(archive, tmp_path, f"base/{done.name}/base.tar.zst"))
    with pytest.raises(DamageError, match=r"base\.tar\.zst"):
        archive.fetch_base(done, "base.tar.zst", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_what_is_fetched_again_leaves_the_archive_as_it_is(
    archive: TimelineArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "base.tar.zst").write_bytes(b"tar")
    done = archive.put_base(backup(), tmp_path / "taken")
    archive.fetch_base(done, "base.tar.zst", tmp_path / "back")
    there = stored(archive, tmp_path, f"base/{done.name}/base.tar.zst").stat().st_ino
    assert (tmp_path / "back").stat().st_ino == there, "it is a link"
    archive.fetch_base(done, "base.tar.zst", tmp_path / "back")
    monkeypatch.setattr("howdah.backup.objects._link", lambda *_: False)
    archive.fetch_base(done, "base.tar.zst", tmp_path / "back")
    assert (tmp_path / "back").stat().st_ino != there, "where links are not possible it is a copy"
    assert stored(archive, tmp_path, f"base/{done.name}/base.tar.zst").read_bytes() == b"tar"


def test_facts_that_cannot_be_read_are_damage(archive: TimelineArchive, tmp_path: Path):
    (tmp_path / "taken").mkdir()
    done = archive.put_base(backup(), tmp_path / "taken")
    stored(archive, tmp_path, f"base/{done.name}/backup.json").write_text('{"name":')
    with pytest.raises(DamageError, match=r"backup\.json"):
        archive.bases()


def test_a_gap_is_remembered_and_closed(archive: TimelineArchive):
    open_gap = Gap(MOMENT, None, "the slot was dropped")
    archive.note_gap(open_gap)
    assert archive.gaps() == [open_gap]
    closed = Gap(MOMENT, MOMENT.replace(hour=10), "the slot was dropped")
    archive.note_gap(closed)
    assert archive.gaps() == [closed]


def test_what_is_expendable_goes_and_what_was_never_completed(archive: TimelineArchive, tmp_path: Path):
    segment(tmp_path / NAME)
    archive.put_wal(NAME, tmp_path / NAME)
    times = [MOMENT.replace(minute=minute) for minute in range(4)]
    old, unfinished, kept, begun = (replace(backup(), name=backup_name(at, BackupKind.FULL)) for at in times)
    for one in (old, unfinished, kept, begun):
        (tmp_path / "taken").mkdir(exist_ok=True)
        (tmp_path / "taken" / "base.tar.zst").write_bytes(b"tar")
        archive.put_base(one, tmp_path / "taken")
    for one in (unfinished, begun):
        stored(archive, tmp_path, f"base/{one.name}/backup.json").unlink()
    for _ in range(2):
        archive.forget(Expendable((old.name,), (Segment(1, 3),)))
        archive.forget_unfinished()
    there = tmp_path / "archive" / archive.id.ubid
    assert sorted(path.name for path in (there / "base").iterdir()) == [kept.name, begun.name]
    assert archive.wal() == []


def test_a_base_backup_counts_no_more_before_anything_of_it_goes_and_growing_segments_go_too(
    archive: TimelineArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Killed at any moment, no half of one is left that counts."""
    segment(tmp_path / NAME)
    archive.put_partial(NAME, tmp_path / NAME, Packing())
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "base.tar.zst").write_bytes(b"tar")
    done = archive.put_base(backup(), tmp_path / "taken")
    counted: list[bool] = []
    delete, remove_below = archive._objects.delete, archive._objects.remove_below

    def watched(act: Callable[[Any], None], what: Any) -> None:
        facts = stored(archive, tmp_path, f"base/{done.name}/backup.json")
        act(what)
        counted.append(facts.exists())
        assert facts.exists() <= stored(archive, tmp_path, f"base/{done.name}/base.tar.zst").exists()

    monkeypatch.setattr(archive._objects, "delete", partial(watched, delete))
    monkeypatch.setattr(archive._objects, "remove_below", partial(watched, remove_below))
    archive.forget(Expendable((done.name,), (Segment(1, 3),)))
    assert counted[0] is False
    assert (archive.bases(), archive.wal()) == ([], [])


def test_a_base_backup_that_is_on_its_way_is_not_taken_for_one_that_never_came(
    archive: TimelineArchive, tmp_path: Path
):
    """After the clock had been ahead, one that is taken now seems to be older than the last one."""
    names = [backup_name(MOMENT.replace(year=year), BackupKind.FULL) for year in (2025, 2026, 2027)]
    for name in names:
        (tmp_path / "taken").mkdir(exist_ok=True)
        (tmp_path / "taken" / "base.tar.zst").write_bytes(b"tar")
        archive.put_base(replace(backup(), name=name), tmp_path / "taken")
    for name in names[:2]:
        stored(archive, tmp_path, f"base/{name}/backup.json").unlink()
    archive.forget_unfinished(since=MOMENT)
    assert sorted(path.name for path in stored(archive, tmp_path, "base").iterdir()) == names[1:]
    archive.forget_unfinished()
    assert [path.name for path in stored(archive, tmp_path, "base").iterdir()] == names[2:]


def test_another_directory_in_the_place_of_the_archive_is_not_taken_for_it(tmp_path: Path):
    """As when its disk is not mounted."""
    known, place, timeline = tmp_path / "known", tmp_path / "archive", TimelineId.new()
    for _ in range(2):
        archive = open_archive(BackupSettings(), tmp_path)
        archive.claim(known)
        archive.timeline(timeline).describe({"service": "pg"})
    place.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="is its disk mounted"):
        archive.timeline(timeline).describe({"service": "pg"})
    assert not place.exists()
    again = open_archive(BackupSettings(), tmp_path)
    again.claim(known)
    for attempt in (
        again.timelines,
        again.timeline(timeline).bases,
        lambda: again.timeline(timeline).describe({"service": "pg"}),
    ):
        with pytest.raises(StoreError, match="is its disk mounted"):
            attempt()
    assert list(place.iterdir()) == []
    place.rmdir()
    (tmp_path / "elsewhere").rename(place)
    assert (again.timelines(), archive.timelines()) == ([timeline], [timeline])
    assert (place / MARK).exists()


def test_a_directory_of_which_nobody_can_tell_is_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive = open_archive(BackupSettings(), tmp_path)
    archive.claim(tmp_path / "known")

    def stale(_: Path) -> bool:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "exists", stale)
    with pytest.raises(StoreError, match="Stale file handle"):
        archive.timelines()


def test_an_archive_that_is_to_be_elsewhere_begins_there(tmp_path: Path):
    for name in ("one", "two", "one"):
        archive = open_archive(BackupSettings(archive=str(tmp_path / name)), tmp_path)
        archive.claim(tmp_path / "known")
        archive.timeline(TimelineId.new()).describe({"service": "pg"})
        assert (tmp_path / name / MARK).exists()


def test_facts_that_are_damaged_are_not_taken_for_unfinished(archive: TimelineArchive, tmp_path: Path):
    for minute in range(2):
        (tmp_path / "taken").mkdir(exist_ok=True)
        name = backup_name(MOMENT.replace(minute=minute), BackupKind.FULL)
        done = archive.put_base(replace(backup(), name=name), tmp_path / "taken")
        if minute == 0:
            stored(archive, tmp_path, f"base/{done.name}/backup.json").write_text('{"name":')
    archive.forget_unfinished()
    assert len(list((tmp_path / "archive" / archive.id.ubid / "base").iterdir())) == 2


def test_nothing_is_left_of_a_removed_timeline(archive: TimelineArchive, tmp_path: Path):
    segment(tmp_path / NAME)
    archive.put_wal(NAME, tmp_path / NAME)
    archive.describe({"service": "pg"})
    archive.remove()
    archive.remove()
    assert list((tmp_path / "archive").iterdir()) == []


def test_timelines_are_found_by_their_names(tmp_path: Path):
    archive = open_archive(BackupSettings(), tmp_path)
    one = TimelineId.new()
    archive.timeline(one).describe({"service": "pg"})
    (tmp_path / "archive" / "lost+found").mkdir()
    assert archive.timelines() == [one]


def test_a_directory_that_cannot_be_written_is_out_of_reach(archive: TimelineArchive, tmp_path: Path):
    (tmp_path / "archive" / archive.id.ubid).write_text("a file where a directory is wanted")
    segment(tmp_path / NAME, received=20_000)
    with pytest.raises(StoreError, match=NAME):
        archive.put_partial(NAME, tmp_path / NAME, Packing())


def test_an_archive_without_a_bucket_is_no_archive(tmp_path: Path):
    with pytest.raises(SetupError, match="s3://bucket/prefix"):
        open_archive(BackupSettings(archive="s3://"), tmp_path)
