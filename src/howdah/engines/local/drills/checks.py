"""What a restored server is asked: whether its tables and indexes are what Postgres makes.

Nothing that a tenant wrote is asked to be evaluated: no expression of an index, no function of an operator class.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from random import Random
from typing import Any, LiteralString, cast

import psycopg

from howdah.domain.errors import Unavailable
from howdah.engines.local.connection import connect
from howdah.engines.local.drills.sample import Look, Relation, choose
from howdah.engines.local.drills.server import PORT, Running

DATABASE_SECONDS = 6 * 3600.0
STATEMENT_SECONDS = 1800
_LISTED = 20_000
_COMPLAINTS = 20
"""Of one relation that are kept."""

DATABASES = (
    "SELECT textsend(datname::text) FROM pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY oid LIMIT 1000"
)
_TABLES = "c.relkind IN ('r', 'm', 't') AND c.relam = 2"
_INDEXES = """c.relkind = 'i' AND c.relam = 403 AND EXISTS (
    SELECT FROM pg_index i WHERE i.indexrelid = c.oid AND i.indisvalid AND i.indisready
    AND NOT EXISTS (SELECT FROM unnest(i.indclass) o WHERE o >= 16384)
    AND NOT EXISTS (SELECT FROM unnest(i.indcollation) o WHERE o >= 16384))
  AND NOT EXISTS (
    SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = c.oid AND a.atttypid >= 16384 AND t.typtype <> 'e')"""
_RELATIONS = f"""
  SELECT c.oid::int8, textsend(n.nspname || '.' || c.relname), pg_relation_size(c.oid), c.relkind = 'i',
    {_TABLES} OR {_INDEXES}, pg_relation_filepath(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relpersistence = 'p' AND c.relkind IN ('r', 'm', 't', 'i', 'S')
  ORDER BY c.relpages DESC LIMIT {_LISTED}"""

_AMCHECK = (
    """CREATE FUNCTION {}.bt_index_check(regclass) RETURNS void
  AS '$libdir/amcheck', 'bt_index_check' LANGUAGE C STRICT""",
    """CREATE FUNCTION {}.verify_heapam(regclass, boolean, boolean, text, bigint, bigint, OUT blkno bigint,
  OUT offnum integer, OUT attnum integer, OUT msg text) RETURNS SETOF record
  AS '$libdir/amcheck', 'verify_heapam' LANGUAGE C""",
)


@dataclass(slots=True)
class Examined:
    """``files``: what each file in the data directory is. ``looked``: relations that were checked."""

    files: dict[str, str] = field(default_factory=dict[str, str])
    looked: int = 0
    problems: list[str] = field(default_factory=list[str])


async def examine(server: Running, random: Random, progress: Callable[[float], None]) -> Examined:
    """``progress``: told how much of it is done. Raises Unavailable when the server lets nobody in at all."""
    found, relations = Examined(), list[Relation]()
    for database in await databases(server):
        relations += await _relations(server, database, found)
    looks = sorted(choose(relations, random), key=lambda look: look.relation.database)
    whole = sum(look.blocks + 1 for look in looks)
    done = 0
    for database, some in groupby(looks, key=attrgetter("relation.database")):
        try:
            async with connect(
                server.sockets, PORT, pid=server.pid, database=database, limit=DATABASE_SECONDS
            ) as connection:
                schema = await _functions(connection)
                for look in some:
                    progress(done / whole)
                    done += look.blocks + 1
                    await _look(connection, schema, look, found)
        except Unavailable as error:
            found.problems.append(f"database {database}: {error}")
    return found


async def databases(server: Running) -> list[str]:
    """Those that let somebody in and whose names can be spelled. Raises Unavailable."""
    async with connect(server.sockets, PORT, pid=server.pid) as connection:
        rows = await (await connection.execute(cast("LiteralString", DATABASES))).fetchall()
    return spelled(row[0] for row in rows)


def spelled(names: Iterable[bytes]) -> list[str]:
    """Without those that are no UTF-8: Postgres keeps names in whatever encoding they were given."""
    found: list[str] = []
    for name in names:
        try:
            found.append(name.decode())
        except UnicodeDecodeError:
            continue
    return found


async def _relations(server: Running, database: str, found: Examined) -> list[Relation]:
    try:
        async with connect(server.sockets, PORT, pid=server.pid, database=database, limit=60.0) as connection:
            await connection.execute("SET statement_timeout = '60s'")
            rows = await (await connection.execute(cast("LiteralString", _RELATIONS))).fetchall()
    except Unavailable as error:
        found.problems.append(f"database {database} cannot be read: {error}")
        return []
    relations: list[Relation] = []
    for oid, raw, size, index, fit, path in rows:
        name = raw.decode(errors="replace")
        if path is not None:
            found.files[path] = f"{'index' if index else 'table'} {name} in database {database}"
        if fit:
            relations.append(Relation(database, oid, name, size or 0, index))
    return relations


async def _functions(connection: psycopg.AsyncConnection[Any]) -> str:
    """amcheck's, whether or not a tenant has an extension of that name; their schema."""
    schema = f"howdah_drill_{secrets.token_hex(8)}"
    for statement in (
        f"SET statement_timeout = '{STATEMENT_SECONDS}s'",
        f"CREATE SCHEMA {schema}",
        *(sql.format(schema) for sql in _AMCHECK),
    ):
        await connection.execute(cast("LiteralString", statement))
    return schema


async def _look(connection: psycopg.AsyncConnection[Any], schema: str, look: Look, found: Examined) -> None:
    one = look.relation
    where = f"{'index' if one.index else 'table'} {one.name} in database {one.database}"
    try:
        if one.index:
            await connection.execute(
                cast("LiteralString", f"SELECT {schema}.bt_index_check(%s::int8::oid::regclass)"), [one.oid]
            )
        else:
            found.problems += [f"{where}: {said}" for said in await _heap(connection, schema, look)]
        found.looked += 1
    except psycopg.Error as error:
        # Of what takes too long, is locked by a prepared transaction, or that it does not know, it says nothing.
        if connection.closed:
            raise
        if (error.sqlstate or "")[:2] in ("XX", "58"):
            found.looked += 1
            details = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
            found.problems.append(f"{where}: {error.diag.message_primary}{details}")


async def _heap(connection: psycopg.AsyncConnection[Any], schema: str, look: Look) -> list[str]:
    whole = look.blocks * 8192 >= look.relation.size
    parts = (None, None) if whole else (look.first, look.first + look.blocks - 1)
    cursor = await connection.execute(
        cast(
            "LiteralString",
            "SELECT blkno, offnum, left(msg, 300)"
            f" FROM {schema}.verify_heapam(%s::int8::oid::regclass, false, false, 'none', %s, %s) LIMIT {_COMPLAINTS}",
        ),
        [look.relation.oid, *parts],
    )
    return [f"block {block}, item {item}: {said}" for block, item, said in await cursor.fetchall()]
