"""When a base backup is due, and of which kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from howdah.domain.backups import BackupKind, BaseBackup
from howdah.domain.drills import DrillResult
from howdah.domain.ids import TimelineId
from howdah.engines.local.archiving.schedule import Due, next_backup

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TIMELINE = TimelineId.new()


def base(at: datetime, parent: str | None = None, *, request: int = 0) -> BaseBackup:
    kind = BackupKind.FULL if parent is None else BackupKind.INCREMENTAL
    return BaseBackup(f"{at:%Y%m%dT%H%M%SZ}", kind, parent, "18.6.0", 1, at, at, "0/1", "0/2", 1, 0, 0, {}, {}, request)


def chain(length: int, *, until: datetime = NOW) -> list[BaseBackup]:
    """One full backup and incremental ones on it, a day apart, the last at ``until``."""
    made: list[BaseBackup] = []
    for number in range(length):
        made.append(base(until - (length - 1 - number) * DAY, made[-1].name if made else None))
    return made


def due(
    bases: list[BaseBackup],
    *,
    asked: int = 0,
    gap_open: bool = False,
    drill: DrillResult | None = None,
    now: datetime = NOW,
    most: int = 6,
) -> Due:
    return next_backup(TIMELINE, bases, interval=DAY, chain=most, asked=asked, gap_open=gap_open, drill=drill, now=now)


def test_the_first_is_due_at_once_and_full() -> None:
    assert due([]) == Due(NOW, None)


def test_a_gap_is_closed_at_once_by_a_full_one() -> None:
    assert due(chain(2), gap_open=True) == Due(NOW, None)


def test_on_what_a_drill_could_not_restore_nothing_is_built() -> None:
    hour = timedelta(hours=1)
    bad = DrillResult(NOW + hour, NOW + 2 * hour, problems=("base.tar.zst is damaged",), needs_base=True)
    bases, now = chain(2), NOW + 3 * hour
    assert due(bases, drill=bad, now=now) == Due(now, None)
    assert due(bases, drill=bad, now=now, asked=1) == Due(now, None)
    incremental = [*bases, base(now, bases[-1].name)]
    assert due(incremental, drill=bad, now=now) == Due(now, None)
    while_it_ran = [*bases, base(NOW + hour)]
    assert due(while_it_ran, drill=bad, now=now) == Due(now, None)
    full = [*bases, base(now)]
    assert due(full, drill=bad, now=now).at > now
    assert due(full, drill=bad, now=now).parent == full[-1]
    assert due(bases, drill=replace(bad, needs_base=False), now=now).parent == bases[-1], "an index is, for instance"


def test_what_claims_to_be_from_the_future_puts_nothing_off() -> None:
    """The clock was ahead for a while. What was taken meanwhile is neither waited for nor built on."""
    year = timedelta(days=365)
    ahead = chain(2, until=NOW + year)
    assert due(ahead) == Due(NOW, None)
    bases = chain(2, until=NOW - DAY)
    bases += ahead
    assert due(bases) == Due(due(bases[:2]).at, bases[1])
    assert due(bases).at <= NOW
    bases = [*bases, base(NOW, bases[1].name, request=2)]
    assert NOW < due(bases).at <= NOW + DAY
    assert due(bases, asked=2).at > NOW, "it was answered"
    it_changed_meanwhile = replace(base(NOW - DAY), finished_at=NOW + year)
    assert due([it_changed_meanwhile]) == Due(NOW, None)


def test_a_drill_that_claims_to_be_from_the_future_says_nothing() -> None:
    """Else each base backup until then would be one too early to mend what it found."""
    bad = DrillResult(NOW + DAY, NOW + DAY, problems=("base.tar.zst is damaged",), needs_base=True)
    bases = chain(2)
    assert due(bases, drill=bad).at > NOW


def test_one_that_is_asked_for_is_due_at_once_and_only_once() -> None:
    bases = chain(2)
    assert due(bases, asked=1) == Due(NOW, bases[-1])
    answered = [*bases, base(NOW, bases[-1].name, request=1)]
    assert due(answered, asked=1).at > NOW
    assert due(answered, asked=2).at == NOW


def test_a_chain_has_a_bounded_length_and_then_there_is_a_full_one() -> None:
    assert due(chain(6)).kind is BackupKind.INCREMENTAL
    assert due(chain(7)).kind is BackupKind.FULL
    assert due([*chain(7), base(NOW)]).kind is BackupKind.INCREMENTAL
    assert due(chain(1), most=0).kind is BackupKind.FULL


@given(st.integers(0, 2**32), st.timedeltas(timedelta(minutes=1), timedelta(days=40)))
def test_the_next_is_at_the_timelines_own_time_of_day_and_at_most_one_interval_later(
    seconds: int, interval: timedelta
) -> None:
    last = datetime.fromtimestamp(seconds, UTC)

    def next_at(after: datetime) -> datetime:
        return next_backup(
            TIMELINE, [base(after)], interval=interval, chain=6, asked=0, gap_open=False, drill=None, now=after
        ).at

    first = next_at(last)
    assert last < first <= last + interval
    assert next_at(first) == first + interval, "the time of day stays"
    assert next_at(first + interval / 2) == first + interval, "also after one that was late, or asked for"


def test_those_of_many_timelines_are_spread() -> None:
    times = [
        next_backup(
            TimelineId.new(), [base(NOW)], interval=DAY, chain=6, asked=0, gap_open=False, drill=None, now=NOW
        ).at
        for _ in range(300)
    ]
    hours = {int((at - NOW) / timedelta(hours=1)) for at in times}
    assert len(hours) > 20
