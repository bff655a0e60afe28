"""A few tables counted where they are in use and where they were restored, so that what is missing is missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg

from howdah.backup.wal import SEGMENT_BYTES, lsn
from howdah.domain.drills import ComparedTable
from howdah.domain.errors import Unavailable
from howdah.engines.local.archiving.receiving import Serving
from howdah.engines.local.connection import connect
from howdah.engines.local.drills.checks import DATABASES, spelled
from howdah.engines.local.drills.server import PORT, Running

TABLES = 5
LARGEST = 8 << 20
"""Bytes of a table that may be counted."""

SECONDS = 30.0
"""How long counting may take, all in all."""

STATISTICS_SECONDS = 65.0
"""After which a session has told of what it did (``PGSTAT_MAX_INTERVAL``, and some)."""

NO_SERVER = "the service was not running, or its server let nobody in"
NO_TABLES = f"the service has no table with rows, of at most {LARGEST >> 20} MiB, that could be counted"
NOT_STILL = "its tables were rewritten, dropped or locked meanwhile, or could not be counted a second time"

_DATABASES = 20
_POLL = 0.5
_PAGE_BYTES = 8192
_PAGE_HEADER, _SEGMENT_HEADER = 24, 40
"""Bytes with which each page of WAL begins, and the first one of a segment (XLogLongPageHeaderData)."""

_LIST = f"""
  SELECT c.oid::int8, textsend(format('%I.%I', n.nspname, c.relname)), pg_relation_size(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relam = 2 AND c.relpersistence = 'p' AND c.oid >= 16384
    AND pg_relation_size(c.oid) BETWEEN 1 AND {LARGEST} AND current_setting('track_counts') = 'on'
  ORDER BY 3 DESC LIMIT {TABLES}"""
_FACTS = """
  SELECT pg_relation_filenode(%s::int8::oid)::int8, pg_stat_get_tuples_inserted(%s::int8::oid),
    pg_stat_get_tuples_deleted(%s::int8::oid) WHERE to_regclass(%s)::oid::int8 = %s"""


@dataclass(frozen=True, slots=True)
class Table:
    """``sql``: its name as SQL spells it, with its schema. One that is renamed is another."""

    database: str
    oid: int
    sql: str


@dataclass(frozen=True, slots=True)
class Count:
    """rows: now. filenode: another one when all rows were replaced at once. inserted, deleted: ever."""

    rows: int
    filenode: int
    inserted: int
    deleted: int


@dataclass(frozen=True, slots=True)
class Before:
    """``position``: until which all that was counted is written durably; None when that is not known. ``why``: nothing
    was counted, in words."""

    counts: Mapping[Table, Count]
    position: int | None
    why: str | None = None


Source = Serving | None


async def count_before(source: Source) -> Before:
    """Whatever can be counted; nothing when there is no server that answers."""
    if source is None:
        return Before({}, None, NO_SERVER)
    try:
        async with asyncio.timeout(SECONDS):
            counts = await _counts(source, await _choose(source))
            return Before(counts, await _durable(source), None if counts else NO_TABLES)
    except TimeoutError:
        return Before({}, None, f"the service's tables were not counted within {SECONDS:.0f} s")
    except Unavailable as error:
        return Before({}, None, f"the service's tables could not be counted: {error}")


async def count_after(source: Source, before: Before) -> dict[Table, Count]:
    """Those of the same tables that can be compared with what was restored meanwhile."""
    with suppress(TimeoutError, Unavailable):
        async with asyncio.timeout(SECONDS):
            if source is not None and before.counts:
                after = await _counts(source, list(before.counts))
                return {table: count for table, count in after.items() if _comparable(before.counts[table], count)}
    return {}


async def compare(
    source: Source, server: Running, before: Before, after: Mapping[Table, Count]
) -> tuple[list[ComparedTable], list[str]]:
    """What was compared, and what is wrong with it."""
    compared: list[ComparedTable] = []
    problems: list[str] = []
    for table, then in after.items():
        where = f"table {table.sql} in database {table.database}"
        try:
            rows = await _restored(server, table)
        except Unavailable as error:
            problems.append(f"{where} cannot be counted in what was restored: {error}")
            continue
        found = await _between(source, table, before.counts[table], then, rows)
        if found is None:
            continue
        compared.append(ComparedTable(table.database, table.sql, rows, *found))
        if not found[0] <= rows <= found[1]:
            problems.append(f"{where} has {rows} rows in what was restored; it had {found[0]} to {found[1]}")
    return compared, problems


async def _choose(source: Serving) -> list[Table]:
    async with connect(str(source.sockets), source.port, pid=source.process.pid) as connection:
        rows = await (await connection.execute(cast("LiteralString", DATABASES))).fetchall()
    found: list[tuple[int, Table]] = []
    for database in spelled(row[0] for row in rows)[:_DATABASES]:
        with suppress(Unavailable):
            async with _to(source, database) as connection:
                listed = await (await connection.execute(cast("LiteralString", _LIST))).fetchall()
            found += [(size, Table(database, oid, sql)) for oid, raw, size in listed for sql in spelled([raw])]
    found.sort(key=lambda one: one[0], reverse=True)
    return [table for _, table in found[:TABLES]]


async def _counts(source: Serving, tables: Sequence[Table]) -> dict[Table, Count]:
    counted: dict[Table, Count] = {}
    for table in tables:
        with suppress(Unavailable):
            async with _to(source, table.database) as connection:
                if (facts := await _facts(connection, table)) is not None:
                    counted[table] = Count(await _rows(connection, table), *facts)
    return counted


async def _facts(connection: psycopg.AsyncConnection[Any], table: Table) -> tuple[int, int, int] | None:
    """As in ``Count``, without its rows; None when it is not there any more."""
    found = await connection.execute(_FACTS, [*[table.oid] * 3, table.sql, table.oid])
    rows = await found.fetchall()
    if not rows:
        return None
    filenode, inserted, deleted = (int(value or 0) for value in rows[0])
    return filenode, inserted, deleted


async def _rows(connection: psycopg.AsyncConnection[Any], table: Table) -> int:
    found = await connection.execute(cast("LiteralString", f"SELECT count(*) FROM ONLY {table.sql}"))
    return (await found.fetchall())[0][0]


async def _restored(server: Running, table: Table) -> int:
    async with connect(server.sockets, PORT, pid=server.pid, database=table.database, limit=600.0) as connection:
        # The table itself is to be read, not an index.
        await connection.execute(
            "SET statement_timeout = '600s'; SET enable_indexscan = off; SET enable_indexonlyscan = off"
        )
        return await _rows(connection, table)


@asynccontextmanager
async def _to(source: Serving, database: str) -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
    """Raises Unavailable."""
    async with connect(str(source.sockets), source.port, pid=source.process.pid, database=database) as connection:
        await connection.execute("SET statement_timeout = '3s'; SET lock_timeout = '500ms'")
        yield connection


async def _durable(source: Serving) -> int:
    """Until where everything that could be seen so far is durably written: also by those who did not wait for that."""
    async with connect(str(source.sockets), source.port, pid=source.process.pid) as connection:
        ((inserted,),) = await (await connection.execute("SELECT pg_current_wal_insert_lsn()::text")).fetchall()
        position = end_of_wal(lsn(inserted))
        while True:
            found = await connection.execute("SELECT pg_current_wal_flush_lsn()::text")
            if lsn((await found.fetchall())[0][0]) >= position:
                return position
            await asyncio.sleep(_POLL / 10)


def end_of_wal(inserted: int) -> int:
    """Where WAL ends of which the next record will begin at ``inserted``: not behind the header of a page on which
    nothing is yet, which stays unwritten until somebody writes, after each base backup for instance."""
    for size, header in ((SEGMENT_BYTES, _SEGMENT_HEADER), (_PAGE_BYTES, _PAGE_HEADER)):
        if inserted % size == header:
            return inserted - header
    return inserted


def _comparable(before: Count, after: Count) -> bool:
    """Not when it was rewritten, or its statistics were begun anew."""
    return before.filenode == after.filenode and after.inserted >= before.inserted and after.deleted >= before.deleted


async def _between(source: Source, table: Table, before: Count, after: Count, rows: int) -> tuple[int, int] | None:
    """How many rows it can have had between the two counts; None when that cannot be said.

    Rows may have come and gone meanwhile: the statistics say how many, though late.
    """
    least, most = sorted((before.rows, after.rows))
    if least <= rows <= most:
        return least, most
    assert source is not None
    end = asyncio.get_running_loop().time() + STATISTICS_SECONDS
    while True:
        try:
            async with _to(source, table.database) as connection:
                facts = await _facts(connection, table)
        except Unavailable:
            return None
        if facts is None or not _comparable(before, now := Count(rows, *facts)):
            return None
        reached = least - (now.deleted - before.deleted), most + (now.inserted - before.inserted)
        if reached[0] <= rows <= reached[1] or asyncio.get_running_loop().time() > end:
            return max(0, reached[0]), reached[1]
        await asyncio.sleep(_POLL)
