"""Results of drills as they lie in an archive."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from howdah.backup import drilled
from howdah.backup.archive import open_archive
from howdah.backup.errors import DamageError
from howdah.domain.drills import ComparedTable, DrillResult
from howdah.domain.ids import TimelineId
from howdah.domain.settings import BackupSettings

BEGAN = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
FULL = DrillResult(
    started_at=BEGAN,
    finished_at=BEGAN + timedelta(minutes=3),
    chain=("a-full", "b-incremental"),
    lsn="0/5000060",
    until=BEGAN - timedelta(microseconds=1),
    data_bytes=22_000_000,
    checksums=True,
    relations=512,
    tables=(ComparedTable("postgres", 'public."Orders"', 7, 5, 9),),
    problems=("one", "two"),
    not_compared="the service was not running",
    needs_base=True,
)


@pytest.mark.parametrize("result", [FULL, DrillResult(BEGAN, BEGAN)], ids=["all", "nothing"])
def test_what_is_stored_comes_back(result: DrillResult) -> None:
    assert drilled.decode(drilled.encode(result), "key") == result
    assert drilled.moment(drilled.file_name(result)) == result.started_at


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"started_at": 1}', drilled.encode(FULL)[:-9]])
def test_what_is_no_result_is_damage(content: bytes) -> None:
    with pytest.raises(DamageError, match="key is damaged"):
        drilled.decode(content, "key")


def test_the_newest_are_kept_newest_first_and_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    archive = open_archive(BackupSettings(archive=str(tmp_path / "archive")), tmp_path).timeline(TimelineId.new())
    assert (archive.drills(), archive.newest_drill(BEGAN)) == ([], None)
    results = [replace(FULL, started_at=BEGAN + timedelta(days=day)) for day in range(drilled.KEPT + 2)]
    for result in results:
        archive.put_drill(result)
    assert archive.drills() == results[:1:-1]
    last = results[-1].started_at
    assert archive.newest_drill(last) == results[-1]
    assert archive.newest_drill(last - timedelta(microseconds=1)) == results[-2]
    (tmp_path / "archive" / archive.id.ubid / "drills" / drilled.file_name(results[-1])).write_bytes(b"?")
    assert archive.drills() == results[-2:1:-1]
    assert archive.newest_drill(last) == results[-2]
