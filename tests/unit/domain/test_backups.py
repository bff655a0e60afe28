"""Moments to restore to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.domain.backups import parse_target
from howdah.domain.errors import BadRequest

ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=ZONES))  # noqa: DTZ001
def test_a_moment_keeps_its_microseconds_in_every_zone(moment: datetime):
    found = parse_target(moment.isoformat(timespec="microseconds"))
    assert found == moment
    assert found.tzinfo is UTC


@pytest.mark.parametrize("text", ["2026-11-25T09:30:00Z", "2026-11-25t09:30:00.0z", "2026-11-25 10:30:00+01:00"])
def test_the_spellings_of_rfc_3339_are_read(text: str):
    assert parse_target(text) == datetime(2026, 11, 25, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        *("", "latest", "now", "2026-11-25", "2026-11-25T09:30:00", "2026-11-25T09:30Z", "2026-11-25T09:30:00.Z"),
        *("2026-13-25T09:30:00Z", "2026-11-25T09:30:60Z", "2026-11-25T09:30:00.1234567Z", "٢٠٢٦-11-25T09:30:00Z"),
        *("0001-01-01T00:00:00+23:59", "2026-11-25T09:30:00Z\n", "2026-11-25T09:30:00+25:00"),
    ],
)
def test_what_is_no_moment_is_refused(text: str):
    with pytest.raises(BadRequest, match="is no moment"):
        parse_target(text)
