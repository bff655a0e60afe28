"""The checker of histories finds what it is there to find."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.history import Append, Operation, Outcome, Read, check

OK, FAILED, UNKNOWN = Outcome.OK, Outcome.FAILED, Outcome.UNKNOWN

GOOD: list[Operation] = [
    Append(1, 10, OK, 0, 1),
    Append(1, 11, UNKNOWN, 1, 2),
    Append(1, 12, FAILED, 2, 3),
    Append(1, 13, OK, 3, 4),
    Append(2, 20, OK, 0, 5),
    Append(1, 14, UNKNOWN, 3, 4),
    Read(1, (10,), 1.5, 2.5),
    Read(1, (10, 11, 13), 4.5, 5),
]
FINAL = {1: (10, 11, 13), 2: (20,)}


def test_a_history_that_one_list_explains_is_right() -> None:
    assert check(GOOD, FINAL) == []


def test_a_read_may_show_last_what_nobody_was_told_is_there_and_is_lost() -> None:
    shown = [Read(1, (10, 11, 13, 14), 4.5, 5), Read(1, (10, 11, 13), 6, 7)]
    assert check([*GOOD, *shown], FINAL) == []


@pytest.mark.parametrize(
    ("more", "final", "found"),
    [
        ([], {1: (10, 11), 2: (20,)}, "13 was acknowledged at 4.000 and is lost"),
        ([], {1: (10, 11, 13)}, "20 was acknowledged at 5.000 and is lost"),
        ([], {1: (10, 11, 13, 11), 2: (20,)}, "11 is there 2 times"),
        ([], {1: (10, 11, 13, 12), 2: (20,)}, "12 was rolled back at 3.000 and is there"),
        ([], {1: (10, 11, 13, 99), 2: (20,)}, "nobody has appended 99"),
        ([], {1: (10, 13, 11), 2: (20,)}, "which does not begin (10, 13, 11)"),
        ([Read(1, (10, 13), 6, 7)], FINAL, "which does not begin (10, 11, 13)"),
        ([Read(1, (10, 11, 14, 13), 6, 7)], FINAL, "which does not begin (10, 11, 13)"),
        ([Read(1, (10, 11, 13, 12), 6, 7)], FINAL, "which does not begin (10, 11, 13)"),
        ([Read(1, (10, 11), 5.1, 6)], FINAL, "the append of 13 had shown 3 before"),
        (
            [Read(1, (10, 11, 13, 14), 6, 7), Read(1, (10, 11, 13), 8, 9)],
            FINAL | {1: (10, 11, 13, 14)},
            "a read had shown 4",
        ),
        ([Read(2, (), 5.1, 6)], FINAL, "the append of 20 had shown 1 before"),
        ([Append(1, 15, OK, 6, 7), Append(1, 16, OK, 8, 9)], FINAL | {1: (10, 11, 13, 16, 15)}, "15 had ended"),
    ],
)
def test_what_is_wrong_is_found(more: list[Operation], final: dict[int, tuple[int, ...]], found: str) -> None:
    assert any(found in one for one in check([*GOOD, *more], final)), check([*GOOD, *more], final)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.floats(0.01, 5), st.floats(0, 1)), max_size=20))
def test_any_history_of_one_true_list_is_right(steps: list[tuple[bool, float, float, float]]) -> None:
    """Each operation takes effect at some moment between its begin and its end."""
    timed = sorted((at * 10 + inside * length, at * 10, length, append) for append, at, length, inside in steps)
    items: tuple[int, ...] = ()
    operations: list[Operation] = []
    for number, (_, began, length, append) in enumerate(timed):
        if append:
            items = (*items, number)
            operations.append(Append(1, number, OK if number % 3 else UNKNOWN, began, began + length))
        else:
            operations.append(Read(1, items, began, began + length))
    assert check(operations, {1: items}) == []
