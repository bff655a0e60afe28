"""What is compared with what was restored, and until where WAL must reach."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from howdah.backup.wal import lsn
from howdah.engines.local.drills import counting
from howdah.engines.local.drills.counting import Before, Count, Table, compare, count_before, end_of_wal
from howdah.engines.local.drills.drill import missing_wal

KEPT = Table("postgres", 16384, "public.kept")
NOBODY = cast("Any", object())


@pytest.mark.parametrize(
    ("inserted", "ends"),
    [
        ("0/5000028", "0/5000000"),  # After a change of the segment.
        ("0/5002018", "0/5002000"),  # After a page that is full to its end.
        ("0/5002028", "0/5002028"),
        ("0/5000100", "0/5000100"),
    ],
)
def test_wal_ends_before_the_header_of_a_page_on_which_nothing_is_yet(inserted: str, ends: str) -> None:
    assert end_of_wal(lsn(inserted)) == lsn(ends)


def test_wal_that_was_not_replayed_is_missed_to_the_byte() -> None:
    assert missing_wal("0/5000060", lsn("0/5000060")) == []
    assert missing_wal("0/5000060", None) == []
    assert missing_wal("0/5000060", lsn("0/5000080")) == [
        "what was restored ends at 0/5000060, though the service had written WAL until 0/5000080"
    ]


async def test_without_a_server_it_is_said_that_nothing_was_counted() -> None:
    assert await count_before(None) == Before({}, None, counting.NO_SERVER)


@pytest.mark.parametrize(
    ("restored", "inserted", "deleted", "between"),
    [
        (10, 0, 0, (10, 12)),
        (12, 0, 0, (10, 12)),
        (9, 0, 0, None),
        (13, 0, 0, None),
        (9, 3, 1, (9, 15)),
        (8, 3, 1, None),
    ],
)
async def test_a_restored_table_has_as_many_rows_as_it_can_have_had_in_the_service(
    monkeypatch: pytest.MonkeyPatch, restored: int, inserted: int, deleted: int, between: tuple[int, int] | None
) -> None:
    """It had 10 and then 12 rows; as many as the statistics say came and went meanwhile."""

    @asynccontextmanager
    async def nowhere(*_: object) -> AsyncIterator[None]:
        yield

    async def rows(*_: object) -> int:
        return restored

    async def facts(*_: object) -> tuple[int, int, int]:
        return 1, 10 + inserted, deleted

    monkeypatch.setattr(counting, "_to", nowhere)
    monkeypatch.setattr(counting, "_restored", rows)
    monkeypatch.setattr(counting, "_facts", facts)
    monkeypatch.setattr(counting, "STATISTICS_SECONDS", -1.0)
    before, after = Before({KEPT: Count(10, 1, 10, 0)}, 1), {KEPT: Count(12, 1, 10, 0)}
    (compared,), problems = await compare(NOBODY, NOBODY, before, after)
    assert (compared.database, compared.table, compared.restored) == ("postgres", "public.kept", restored)
    least, most = 10 - deleted, 12 + inserted
    if between is not None:
        assert (problems, (compared.least, compared.most)) == ([], between)
    else:
        said = f"table public.kept in database postgres has {restored} rows in what was restored"
        assert problems == [f"{said}; it had {least} to {most}"]
