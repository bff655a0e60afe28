"""Which pages of WAL a standby is brought: all that were written from where it is, and none that are something else."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from howdah.backup.wal import SEGMENT_BYTES, Segment
from howdah.engines.local.members.carrying import pieces

PAGE = 8192
PAGES = SEGMENT_BYTES // PAGE


def page(address: int) -> bytes:
    return struct.pack("=8xQ", address) + b"x" * (PAGE - 16)


@dataclass(frozen=True)
class Wal:
    """Pages from ``first`` to ``last``; after them ``recycled`` pages of former use, as far as that segment goes; from
    ``empty_from`` to the end of its segment the pages were left empty."""

    first: int
    last: int
    recycled: int = 0
    empty_from: int | None = None

    def page(self, number: int) -> bytes:
        left_empty = self.empty_from is not None and self.empty_from <= number < (self.empty_from // PAGES + 1) * PAGES
        if left_empty or not self.first <= number <= self.last + self.recycled:
            return bytes(PAGE)
        return page(number * PAGE if number <= self.last else number * PAGE - 7 * SEGMENT_BYTES)

    def read(self, number: int, offset: int, most: int) -> tuple[str, bytes] | None:
        if not self.first // PAGES <= number <= self.last // PAGES:
            return None
        first = number * PAGES + offset // PAGE
        return Segment(1, number).name, b"".join(self.page(first + index) for index in range(most // PAGE))


def brought(wal: Wal, position: int) -> list[int]:
    """The numbers of the pages."""
    found: list[int] = []
    for piece in pieces(wal.read, position):
        segment = Segment.parse(piece.name)
        assert segment is not None
        assert len(piece.content) % PAGE == 0
        first = (segment.start + piece.offset) // PAGE
        for index in range(len(piece.content) // PAGE):
            assert piece.content[index * PAGE : (index + 1) * PAGE] == page((first + index) * PAGE)
            found.append(first + index)
    return found


@settings(max_examples=40)
@given(
    start=st.integers(7 * PAGES, 8 * PAGES - 1),
    more=st.one_of(st.integers(0, 5), st.integers(PAGES - 5, PAGES + 100)),
    into=st.integers(0, PAGE - 1),
    recycled=st.integers(0, 200),
)
def test_every_page_from_there_to_the_end_and_no_recycled_one(start: int, more: int, into: int, recycled: int) -> None:
    assert brought(Wal(7 * PAGES, start + more, recycled), start * PAGE + into) == list(range(start, start + more + 1))


def test_what_comes_after_a_segment_that_was_left_half_empty_is_brought_too() -> None:
    start, empty = 7 * PAGES + 3, 7 * PAGES + 10
    assert brought(Wal(7 * PAGES, 8 * PAGES + 4, empty_from=empty), start * PAGE) == [
        *range(start, empty),
        *range(8 * PAGES, 8 * PAGES + 5),
    ]


def test_nothing_is_brought_from_where_the_standbys_end_is_not() -> None:
    assert brought(Wal(9 * PAGES, 9 * PAGES + 5), 7 * SEGMENT_BYTES) == []
    assert brought(Wal(7 * PAGES, 7 * PAGES + 5), 8 * SEGMENT_BYTES) == []
    assert brought(Wal(7 * PAGES, 8 * PAGES, empty_from=7 * PAGES), 7 * SEGMENT_BYTES) == []
