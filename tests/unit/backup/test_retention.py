"""Nothing that a moment in the window needs is deleted, whatever happened before and whenever it is interrupted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from howdah.backup.errors import BackupError
from howdah.backup.restorable import Contents, RestorePlan, plan, window
from howdah.backup.retention import Expendable, expendable
from howdah.backup.wal import SEGMENT_BYTES, Segment, StoredWal, lsn_text
from howdah.domain.backups import BackupKind, BaseBackup

START = datetime(2026, 11, 25, 9, tzinfo=UTC)
FOREVER = 10_000


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def wal(number: int, wal_timeline: int = 1) -> StoredWal:
    """Segment n was received in minute n."""
    return StoredWal(Segment(wal_timeline, number), False, 1000, minute(number))


def base(number: int, parent: str | None = None, wal_timeline: int = 1, span: int = 0) -> BaseBackup:
    """One that ended in segment ``number`` and began ``span`` segments before."""
    return BaseBackup(
        name=f"base-{number:03}",
        kind=BackupKind.FULL if parent is None else BackupKind.INCREMENTAL,
        parent=parent,
        postgres="18.6.0",
        system_identifier=1,
        started_at=minute(number - span),
        finished_at=minute(number + 0.5),
        start_lsn=lsn_text((number - span) * SEGMENT_BYTES + 40),
        stop_lsn=lsn_text(number * SEGMENT_BYTES + 400),
        wal_timeline=wal_timeline,
        stored_bytes=1,
        data_bytes=1,
        files={},
        tablespaces={},
    )


@st.composite
def histories(draw: st.DrawFn) -> Contents:
    """Bases of chains, some of which are broken; WAL with holes; changes of Postgres' timeline, each of which may have
    left WAL behind that its server wrote beyond it."""
    length = draw(st.integers(1, 120))
    switches = sorted(draw(st.sets(st.integers(1, length), max_size=4)))

    def line(number: int) -> int:
        return 1 + sum(number > switch for switch in switches)

    bases: list[BaseBackup] = []
    for number in sorted(draw(st.sets(st.integers(1, length), max_size=12))):
        incremental = bool(bases) and draw(st.booleans())
        # One that spans a change of the timeline has failed.
        span = draw(st.integers(0, min(2, number - 1)).filter(lambda span, n=number: line(n - span) == line(n)))
        bases.append(base(number, bases[-1].name if incremental else None, line(number), span))
    lost = draw(st.sets(st.integers(1, length), max_size=3))
    stored = [wal(number, line(number)) for number in range(1, length + 1) if number not in lost]
    if stored and draw(st.booleans()):
        stored[-1] = replace(stored[-1], partial=True)
    beyond = [wal(switch + 1, line(switch)) for switch in switches if draw(st.booleans())]
    gone = draw(st.sets(st.sampled_from([one.name for one in bases]), max_size=2)) if bases else set[str]()
    past: dict[int, str] = {}
    content = ""
    for before, switch in enumerate(switches, 1):
        content += f"{before}\t{lsn_text((switch + 1) * SEGMENT_BYTES)}\tno reason\n"
        past[before + 1] = content
    wanted = [one for one in bases if one.name not in gone]
    return Contents(wanted, sorted({*stored, *beyond}, key=lambda one: one.segment), past)


def without(contents: Contents, old: Expendable, steps: int = FOREVER) -> Contents:
    """After so many deletions."""
    bases = old.bases[:steps]
    segments = old.wal[: max(0, steps - len(old.bases))]
    return replace(
        contents,
        bases=[one for one in contents.bases if one.name not in bases],
        wal=[one for one in contents.wal if one.segment not in segments],
    )


def restored(contents: Contents, target: datetime | None) -> RestorePlan | str:
    try:
        return plan(contents, target)
    except BackupError as error:
        return type(error).__name__


moments = st.integers(0, 260).map(lambda half: minute(half / 2))


@given(histories(), moments, st.integers(0, 150), st.lists(moments, min_size=3, max_size=8))
def test_every_moment_of_the_window_is_restored_as_before(
    contents: Contents, keep_from: datetime, steps: int, targets: list[datetime]
):
    left = without(contents, expendable(contents, keep_from), steps)
    for target in [None, keep_from, *(one for one in targets if one >= keep_from)]:
        assert restored(left, target) == restored(contents, target)


@given(histories(), moments, moments, st.integers(0, 150))
def test_two_that_delete_at_once_delete_no_more_than_the_later_one(
    contents: Contents, one: datetime, other: datetime, steps: int
):
    left = without(without(contents, expendable(contents, one), steps), expendable(contents, other))
    latest = max(one, other)
    assert restored(left, latest) == restored(contents, latest)
    assert restored(left, None) == restored(contents, None)


@given(histories(), moments)
def test_what_was_deleted_once_is_all_that_there_was(contents: Contents, keep_from: datetime):
    left = without(contents, expendable(contents, keep_from))
    assert expendable(left, keep_from) == Expendable()


def test_what_is_older_than_the_window_goes():
    bases = [base(1), base(4, "base-001"), base(8), base(12, "base-008"), base(16, "base-012")]
    contents = Contents(bases, [wal(number) for number in range(1, 20)], {})
    old = expendable(contents, minute(13))
    assert old.bases == ("base-004", "base-001")
    assert [segment.number for segment in old.wal] == list(range(1, 12))
    found = window(without(contents, old))
    assert found is not None
    assert found.earliest == minute(12.5)


def test_while_nothing_is_older_than_the_window_everything_stays():
    contents = Contents([base(4), base(8)], [wal(number) for number in range(1, 10)], {})
    assert expendable(contents, minute(3)) == Expendable()


def test_a_base_backup_that_cannot_be_used_does_not_stand_in_for_an_older_one():
    contents = Contents([base(1), base(5, "base-003")], [wal(number) for number in range(1, 10)], {})
    assert expendable(contents, minute(9)) == Expendable()
