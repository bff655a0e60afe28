"""When drills are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from howdah.domain.ids import TimelineId
from howdah.engines.local.drills.schedule import next_drill

WEEK = timedelta(days=7)
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(MOMENTS)
def test_the_next_one_is_less_than_an_interval_away_and_always_at_the_same_time(since: datetime) -> None:
    timeline = TimelineId.new()
    due = next_drill(timeline, since, WEEK, since)
    assert due is not None
    assert timedelta() < due - since <= WEEK
    assert next_drill(timeline, due, WEEK, due) == due + WEEK
    assert next_drill(timeline, due - timedelta(microseconds=1), WEEK, due) == due


def test_one_that_was_missed_is_due_at_once() -> None:
    """Its time has passed while the control plane was down."""
    due = next_drill(TimelineId.new(), NOW - 3 * WEEK, WEEK, NOW)
    assert due is not None
    assert due < NOW


def test_those_of_many_services_are_spread_over_the_interval() -> None:
    days = [0] * 7
    for _ in range(700):
        due = next_drill(TimelineId.new(), NOW, WEEK, NOW)
        assert due is not None
        days[int((due - NOW) / timedelta(days=1)) % 7] += 1
    assert min(days) > 50


def test_without_an_interval_none_is_ever_due() -> None:
    assert next_drill(TimelineId.new(), NOW, timedelta(), NOW) is None


def test_after_one_that_began_in_the_future_the_next_is_due_at_once() -> None:
    """The clock was ahead, and has been set right."""
    assert next_drill(TimelineId.new(), NOW + timedelta(days=365), WEEK, NOW) == NOW
