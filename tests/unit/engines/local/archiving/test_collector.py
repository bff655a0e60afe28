"""From the spool to the archive: whole segments once, the growing one as it grows, and what is missing is noted."""

from __future__ import annotations

import os
import struct
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from howdah.backup.archive import TimelineArchive, open_archive
from howdah.backup.errors import ForeignError, StoreError
from howdah.backup.wal import SEGMENT_BYTES, Segment
from howdah.domain.ids import TimelineId
from howdah.domain.settings import BackupSettings
from howdah.engines.local.archiving.collector import Collector
from howdah.engines.local.archiving.spool import Spool

CLUSTER = 7


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool")
    made.make()
    return made


@pytest.fixture
def archive(tmp_path: Path) -> TimelineArchive:
    return open_archive(BackupSettings(), tmp_path).timeline(TimelineId.new())


def segment(number: int) -> Segment:
    return Segment(1, number)


def file_of(content: bytes) -> bytes:
    """A segment with the header that says which cluster wrote it."""
    return (b"\x16\xd1" + bytes(22) + struct.pack("=Q", CLUSTER) + content).ljust(SEGMENT_BYTES, b"\0")


def receive(spool: Spool, number: int, content: bytes = b"wal") -> None:
    """As a receiver does: it grows under another name, and gets its own when it is whole."""
    spool.partial(segment(number)).unlink(missing_ok=True)
    spool.whole(segment(number)).write_bytes(file_of(content))


def grow(spool: Spool, number: int, content: bytes) -> None:
    path = spool.partial(segment(number))
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_bytes(file_of(content))
    os.utime(path, ns=(before + 1_000_000_000, before + 1_000_000_000))


def stored(archive: TimelineArchive) -> list[tuple[int, bool]]:
    return [(one.segment.number, one.partial) for one in archive.wal()]


def left(spool: Spool) -> list[str]:
    return sorted(path.name for path in spool.wal.iterdir())


def test_whole_segments_leave_the_spool_once_they_are_in_the_archive(spool: Spool, archive: TimelineArchive) -> None:
    for number in (3, 4):
        receive(spool, number)
    grow(spool, 5, b"more")
    Collector(spool, archive).collect()
    assert stored(archive) == [(3, False), (4, False), (5, True)]
    assert left(spool) == [f"{segment(5).name}.partial"]


def test_the_newest_stays_because_the_receiver_goes_on_after_it(spool: Spool, archive: TimelineArchive) -> None:
    collector = Collector(spool, archive)
    for number in (3, 4):
        receive(spool, number)
    collector.collect()
    collector.collect()
    assert left(spool) == [segment(4).name]
    assert stored(archive) == [(3, False), (4, False)]


def test_the_growing_one_is_put_when_it_has_grown_and_only_then(
    spool: Spool, archive: TimelineArchive, tmp_path: Path
) -> None:
    collector = Collector(spool, archive)
    grow(spool, 3, b"one")
    collector.collect()
    (stored_file,) = (tmp_path / "archive" / archive.id.ubid / "wal").iterdir()
    first = stored_file.stat().st_ino
    collector.collect()
    assert stored_file.stat().st_ino == first
    grow(spool, 3, b"one two")
    collector.collect()
    assert archive.fetch_wal(segment(3).name, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file_of(b"one two")


def test_a_write_that_leaves_no_trace_in_the_files_time_is_not_missed(
    spool: Spool, archive: TimelineArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector(spool, archive)
    path = spool.partial(segment(3))
    path.write_bytes(file_of(b"one"))
    just_now = time.time_ns() + 10_000_000_000  # However long it takes until it is read.
    os.utime(path, ns=(just_now, just_now))
    monkeypatch.setattr(time, "time_ns", lambda: just_now)
    collector.collect()
    assert not collector.settled, "it was written to just now"
    facts = path.stat()
    path.write_bytes(file_of(b"one two"))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    collector.collect()
    assert archive.fetch_wal(segment(3).name, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file_of(b"one two")


def test_a_jump_is_a_gap_that_begins_where_the_last_known_was(spool: Spool, archive: TimelineArchive) -> None:
    collector = Collector(spool, archive)
    grow(spool, 3, b"one")
    known = datetime.fromtimestamp(spool.partial(segment(3)).stat().st_mtime, UTC)
    collector.collect()
    spool.begin_anew()
    grow(spool, 7, b"later")
    collector.collect()
    (gap,) = archive.gaps()
    assert (gap.since, gap.until) == (known, None)
    assert collector.gap_open

    again = Collector(spool, archive)
    again.collect()
    assert again.gap_open, "also for one that starts later"
    assert len(archive.gaps()) == 1
    closed = datetime(2026, 11, 25, tzinfo=UTC)
    again.close_gaps(closed)
    assert [gap.until for gap in archive.gaps()] == [closed]
    assert not again.gap_open


@pytest.mark.parametrize("first", ["growing", "whole"])
def test_one_after_the_other_is_no_gap(spool: Spool, archive: TimelineArchive, first: str) -> None:
    collector = Collector(spool, archive)
    if first == "whole":
        receive(spool, 3)
    else:
        grow(spool, 3, b"one")
    collector.collect()
    receive(spool, 3)
    grow(spool, 4, b"two")
    collector.collect()
    assert archive.gaps() == []
    assert stored(archive) == [(3, False), (4, True)]


def test_what_cannot_be_put_stays_and_is_put_later(spool: Spool, archive: TimelineArchive, tmp_path: Path) -> None:
    place = tmp_path / "archive"
    place.rmdir()
    place.write_text("in the way")
    collector = Collector(spool, archive)
    receive(spool, 3)
    receive(spool, 4)
    with pytest.raises(StoreError):
        collector.collect()
    assert left(spool) == [segment(3).name, segment(4).name]
    place.unlink()
    place.mkdir()
    collector.collect()
    assert stored(archive) == [(3, False), (4, False)]
    assert archive.gaps() == []


def test_a_segment_whose_first_page_is_not_there_yet_waits(spool: Spool, archive: TimelineArchive) -> None:
    collector = Collector(spool, archive)
    spool.partial(segment(3)).write_bytes(bytes(SEGMENT_BYTES))
    collector.collect()
    assert (stored(archive), collector.settled) == ([], False)
    grow(spool, 3, b"one")
    collector.collect()
    assert stored(archive) == [(3, True)]


HISTORY = "00000002.history"
LEFT = "1\t0/5000000\tno recovery target specified\n"


def test_a_history_is_put_once_and_the_same_one_again_is_fine(spool: Spool, archive: TimelineArchive):
    for _ in range(2):
        (spool.wal / HISTORY).write_text(LEFT)
        receive(spool, 1)
        Collector(spool, archive).collect()
    assert archive.histories() == {2: LEFT}


def test_a_history_that_is_damaged_in_the_archive_is_put_again(spool: Spool, archive: TimelineArchive, tmp_path: Path):
    receive(spool, 1)
    (spool.wal / HISTORY).write_text(LEFT)
    Collector(spool, archive).collect()
    (tmp_path / "archive" / archive.id.ubid / "wal" / f"{HISTORY}.zst").write_bytes(b"damaged")
    Collector(spool, archive).collect()
    assert archive.histories() == {2: LEFT}


def test_wal_of_another_history_by_the_same_number_comes_not_among_it(spool: Spool, archive: TimelineArchive):
    receive(spool, 1)
    (spool.wal / HISTORY).write_text(LEFT)
    Collector(spool, archive).collect()
    (spool.wal / HISTORY).write_text(LEFT.replace("0/5000000", "0/6000000"))
    receive(spool, 2)
    with pytest.raises(ForeignError, match="another history of Postgres' timeline 2"):
        Collector(spool, archive).collect()
    assert (archive.histories(), stored(archive)) == ({2: LEFT}, [(1, False)])


def test_it_is_known_until_where_the_archive_has_what_came_and_what_it_lacks(spool: Spool, archive: TimelineArchive):
    collector = Collector(spool, archive)
    assert spool.missing(spool.waiting(), collector.until) == 0
    receive(spool, 1)
    assert spool.missing(spool.waiting(), collector.until) == SEGMENT_BYTES, "nobody knows of less"
    collector.collect()
    assert collector.until == segment(2).start
    assert spool.missing(spool.waiting(), collector.until) == 0
    grow(spool, 2, b"x" * 1000)
    assert 1000 <= spool.missing(spool.waiting(), collector.until) < 1100
    collector.collect()
    assert spool.missing(spool.waiting(), collector.until) == 0
    grow(spool, 2, b"x" * 1500)
    assert spool.missing(spool.waiting(), collector.until) == 500
    receive(spool, 2, b"x" * 1500)
    receive(spool, 3)
    assert spool.missing(spool.waiting(), collector.until) == segment(4).start - collector.until
