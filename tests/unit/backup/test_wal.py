"""Names and numbers of WAL, as Postgres spells them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.backup.wal import Segment, lsn, lsn_text, switches


def test_a_segment_is_named_as_postgres_names_it():
    assert Segment.at(1, lsn("0/3000028")).name == "000000010000000000000003"
    assert Segment.at(2, lsn("1/FF000000")).name == "0000000200000001000000FF"
    assert Segment.at(2, lsn("2/0")).name == "000000020000000200000000"


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**40 - 1))
def test_a_name_gives_its_segment_back(wal_timeline: int, number: int):
    assert Segment.parse(Segment(wal_timeline, number).name) == Segment(wal_timeline, number)


@pytest.mark.parametrize(
    "name", ["", "00000001.history", "000000010000000000000100", "00000001000000000000000g", "x" * 24]
)
def test_what_is_no_segment_has_none(name: str):
    assert Segment.parse(name) is None


@given(st.integers(0, 2**64 - 1))
def test_a_position_is_spelled_and_read(position: int):
    assert lsn(lsn_text(position)) == position


def test_a_history_tells_where_each_timeline_was_left():
    content = "1\t0/3000148\tno recovery target specified\n\n2\t0/5000000\tbefore 2026-11-25\n"
    assert list(switches(content)) == [(1, lsn("0/3000148")), (2, lsn("0/5000000"))]
