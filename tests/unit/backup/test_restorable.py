"""What can be restored follows from what an archive has, and what is missing is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.backup.errors import DamageError, NotRestorableError
from howdah.backup.restorable import Contents, broken, plan, window
from howdah.backup.wal import SEGMENT_BYTES, Segment, StoredWal, lsn_text
from howdah.domain.backups import BackupKind, BaseBackup, Gap
from howdah.domain.moments import text

START = datetime(2026, 11, 25, 9, tzinfo=UTC)


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def wal(*numbers: int, wal_timeline: int = 1) -> list[StoredWal]:
    """Segment n was received in minute n."""
    return [StoredWal(Segment(wal_timeline, number), False, 1000, minute(number)) for number in numbers]


def base(number: int, *, parent: str | None = None, wal_timeline: int = 1) -> BaseBackup:
    """One that began in segment ``number`` and ended in it."""
    return BaseBackup(
        name=f"base-{number}",
        kind=BackupKind.FULL if parent is None else BackupKind.INCREMENTAL,
        parent=parent,
        postgres="18.6.0",
        system_identifier=1,
        started_at=minute(number),
        finished_at=minute(number) + timedelta(seconds=1),
        start_lsn=lsn_text(number * SEGMENT_BYTES + 40),
        stop_lsn=lsn_text(number * SEGMENT_BYTES + 400),
        wal_timeline=wal_timeline,
        stored_bytes=1,
        data_bytes=1,
        files={},
        tablespaces={},
    )


def test_nothing_can_be_restored_before_the_first_base_backup():
    assert window(Contents([], wal(1, 2), {})) is None
    with pytest.raises(NotRestorableError, match="no base backup is completed"):
        plan(Contents([], wal(1, 2), {}), minute(1))


def test_a_base_backup_without_the_wal_that_it_needs_does_not_count():
    assert window(Contents([base(3)], wal(1, 2), {})) is None


def test_the_newest_base_backup_before_the_target_is_taken():
    contents = Contents([base(1), base(4)], wal(*range(1, 8)), {})
    assert [one.name for one in plan(contents, minute(3)).chain] == ["base-1"]
    assert [one.name for one in plan(contents, minute(5)).chain] == ["base-4"]
    assert [one.name for one in plan(contents, None).chain] == ["base-4"]
    assert [one.number for one in plan(contents, minute(5)).wal] == [4, 5, 6, 7]


def test_an_incremental_backup_brings_those_that_it_builds_on():
    contents = Contents([base(1), base(2, parent="base-1"), base(3, parent="base-2")], wal(*range(1, 6)), {})
    assert [one.name for one in plan(contents, minute(4)).chain] == ["base-1", "base-2", "base-3"]


def test_an_incremental_backup_whose_parent_is_gone_is_passed_over():
    contents = Contents([base(1), base(3, parent="base-2")], wal(*range(1, 6)), {})
    assert [one.name for one in plan(contents, minute(4)).chain] == ["base-1"]


def test_a_target_outside_is_refused_with_what_is_inside():
    contents = Contents([base(1)], wal(1, 2, 3), {})
    with pytest.raises(NotRestorableError) as refused:
        plan(contents, minute(0))
    assert str(refused.value) == ("Restore target must be between 2026-11-25T09:01:01Z and 2026-11-25T09:03:00Z")


def test_a_missing_segment_is_named_with_what_is_still_restorable():
    contents = Contents([base(1)], wal(1, 2, 3, 5, 6), {})
    with pytest.raises(DamageError) as refused:
        plan(contents, minute(5.5))
    assert "000000010000000000000004 is missing" in str(refused.value)
    assert "2026-11-25T09:03:00Z" in str(refused.value)
    assert [one.number for one in plan(contents, minute(2)).wal] == [1, 2, 3]


def test_a_later_base_backup_goes_round_a_missing_segment():
    contents = Contents([base(1), base(5)], wal(1, 2, 4, 5, 6), {})
    assert [one.name for one in plan(contents, minute(6)).chain] == ["base-5"]


def test_a_moment_in_a_gap_is_refused_with_its_reason():
    gap = Gap(minute(2), minute(5), "the slot was dropped")
    contents = Contents([base(1), base(5)], wal(1, 2, 5, 6), {}, [gap])
    with pytest.raises(NotRestorableError, match="the slot was dropped"):
        plan(contents, minute(3))
    assert plan(contents, minute(6)).chain[0].name == "base-5"


def test_wal_goes_on_along_the_newest_timeline():
    histories = {2: f"1\t{lsn_text(3 * SEGMENT_BYTES + 100)}\tno reason\n"}
    stored = [*wal(1, 2, 3), *wal(3, 4, wal_timeline=2)]
    found = plan(Contents([base(1)], stored, histories), None).wal
    assert [one.name[:8] + one.name[-2:] for one in found] == [
        "0000000101", "0000000102", "0000000203", "0000000204",
    ]  # fmt: skip


def test_what_a_left_timeline_has_beyond_its_end_is_not_followed():
    histories = {2: f"1\t{lsn_text(3 * SEGMENT_BYTES + 100)}\tno reason\n"}
    stored = [*wal(1, 2, 3, 4, 5), *wal(3, wal_timeline=2)]
    found = plan(Contents([base(1)], stored, histories), None).wal
    assert [(one.wal_timeline, one.number) for one in found] == [(1, 1), (1, 2), (2, 3)]


def test_a_segment_that_is_missing_at_the_end_of_a_timeline_is_named():
    """Without it, what came after the switch would be missing in what is restored, and nobody would know."""
    histories = {2: f"1\t{lsn_text(3 * SEGMENT_BYTES + 100)}\tno reason\n"}
    contents = Contents([base(1)], [*wal(1), *wal(3, 4, wal_timeline=2)], histories)
    for target in (minute(3.5), None):
        with pytest.raises(DamageError, match="000000010000000000000002 is missing"):
            plan(contents, target)


def test_the_earlier_timeline_serves_until_the_later_one_has_come():
    histories = {2: f"1\t{lsn_text(3 * SEGMENT_BYTES + 100)}\tno reason\n"}
    found = plan(Contents([base(1)], wal(1, 2, 3), histories), None).wal
    assert [(one.wal_timeline, one.number) for one in found] == [(1, 1), (1, 2), (1, 3)]


def test_a_segment_that_never_became_whole_is_named():
    stored = wal(1, 2, 3)
    stored[1] = replace(stored[1], partial=True)
    with pytest.raises(DamageError, match="000000010000000000000002 is missing or incomplete"):
        plan(Contents([base(1)], stored, {}), None)
    assert [one.number for one in plan(Contents([base(1)], stored[:2], {}), None).wal] == [1, 2]


def test_everything_is_not_given_out_with_a_hole_in_it():
    with pytest.raises(DamageError, match="000000010000000000000003 is missing"):
        plan(Contents([base(1)], wal(1, 2, 4), {}), None)


def test_a_base_of_an_earlier_timeline_does_not_follow_an_unrelated_one():
    histories = {3: f"2\t{lsn_text(9 * SEGMENT_BYTES)}\tno reason\n"}
    found = plan(Contents([base(1)], [*wal(1, 2), *wal(2, wal_timeline=3)], histories), None).wal
    assert [one.wal_timeline for one in found] == [1, 1]


@given(
    st.sets(st.integers(0, 30)),
    st.lists(st.integers(0, 30), unique=True, max_size=6),
    st.floats(-1, 32, allow_nan=False),
)
def test_a_plan_never_has_a_hole_and_always_reaches_its_target(segments: set[int], bases: list[int], target: float):
    contents = Contents([base(number) for number in sorted(bases)], wal(*sorted(segments)), {})
    try:
        found = plan(contents, minute(target))
    except (NotRestorableError, DamageError):
        return
    numbers = [one.number for one in found.wal]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert set(numbers) <= segments
    assert found.chain[-1].finished_at <= minute(target)
    # What comes later than the last segment is not known to be missing only if there is no later one.
    assert minute(target) <= minute(numbers[-1]) or numbers[-1] == max(segments)


def test_moments_are_spelled_with_the_digits_that_they_need():
    assert text(START) == "2026-11-25T09:00:00Z"
    assert text(replace_microseconds(250_000)) == "2026-11-25T09:00:00.25Z"
    assert text(replace_microseconds(1)) == "2026-11-25T09:00:00.000001Z"


def replace_microseconds(number: int) -> datetime:
    return START.replace(microsecond=number)


def test_what_is_missing_of_the_newest_wal_is_a_gap_since_what_is_there():
    found = broken(Contents([base(1), base(3)], wal(1, 2, 3, 4, 6, 7), {}))
    assert found is not None
    assert (found.since, found.until) == (minute(4), None)
    assert Segment(1, 5).name in found.reason


@pytest.mark.parametrize(
    "contents",
    [
        Contents([], wal(1, 3), {}),
        Contents([base(1)], wal(1, 2, 3), {}),
        Contents([base(1), base(5)], wal(1, 3, 5, 6), {}),
        Contents([base(5)], wal(1, 3), {}),
    ],
    ids=["nothing was there", "nothing is missing", "a base backup has closed it", "no base backup is of use"],
)
def test_else_there_is_no_such_gap(contents: Contents):
    assert broken(contents) is None
