"""How late WAL is, by looks at how much there is and how much of it has come."""

from __future__ import annotations

import pytest

from howdah.engines.local.archiving.lateness import FRESH_SECONDS, Lateness


def test_what_has_come_is_not_late() -> None:
    late = Lateness()
    late.see(100, 100, 0)
    late.see(200, 210, 60)
    assert (late.bytes, late.seconds(120)) == (0, 0)


def test_what_stays_behind_is_late_since_it_was_seen_first() -> None:
    late = Lateness()
    late.see(100, 70, 10)
    assert (late.bytes, late.seconds(10)) == (30, 0)
    late.see(500, 70, 20)
    assert (late.bytes, late.seconds(25)) == (430, 15)
    late.see(500, 500, 30)
    assert (late.bytes, late.seconds(40)) == (0, 0)


def test_a_server_that_is_always_writing_is_not_late_for_that() -> None:
    late = Lateness()
    for now in range(0, 600, 60):
        late.see(1000 * now + 10, 1000 * now, now)
        assert late.seconds(now) == 0


def test_what_is_never_caught_up_with_is_late_by_as_much_as_it_is_behind() -> None:
    late = Lateness()
    for now in range(0, 601, 10):
        late.see(now, max(0, now - 100), now)
    assert 90 <= late.seconds(600) <= 110


@pytest.mark.parametrize(("now", "fresh"), [(5, True), (5 + FRESH_SECONDS, True), (6 + FRESH_SECONDS, False)])
def test_a_look_is_good_for_a_while(now: float, fresh: bool) -> None:
    late = Lateness()
    assert not late.is_fresh(now)
    late.see(1, 1, 5)
    assert late.is_fresh(now) is fresh
