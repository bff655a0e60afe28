"""What a server says of itself, in SQL.

One statement, without parameters: a tenant may have taken every ordinary connection, and a walsender takes no others.
Its answer is its tenant's: what is not of the form that is asked for is no answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, LiteralString, TypeVar, cast

import psycopg

from howdah.backup.wal import lsn
from howdah.domain.errors import Unavailable
from howdah.domain.instances import Instance
from howdah.domain.metrics import Follower, Statistics
from howdah.engines.local.archiving.receiver import NAME
from howdah.engines.local.connection import connect
from howdah.engines.local.members.membership import ROLE, slot_of

SECONDS = 5.0
"""How long asking may take, all in all."""

MOST = 100
"""Databases, and replication slots, that are told of: what makes a series of its own must be few."""

_REFUSES_BEFORE = 3_000_000
"""Transactions before their numbers run out at which Postgres refuses to write (``SetTransactionIdLimit``)."""

STATES = frozenset(
    {
        "active",
        "idle",
        "idle in transaction",
        "idle in transaction (aborted)",
        "fastpath function call",
        "starting",
        "disabled",
    }
)
"""Of a connection (``pg_stat_activity``)."""

T = TypeVar("T")
_LONGEST_NAME = 63
_COUNTS = (
    "max_connections",
    "blocks_hit",
    "blocks_read",
    "reads",
    "writes",
    "fetched",
    "inserted",
    "updated",
    "deleted",
    "committed",
    "rolled_back",
    "deadlocks",
    "wal_bytes",
    "transactions_left",
)
_COUNTERS = """
  SELECT sum(blks_hit) AS blocks_hit, sum(blks_read) AS blocks_read, sum(tup_fetched) AS fetched,
    sum(tup_inserted) AS inserted, sum(tup_updated) AS updated, sum(tup_deleted) AS deleted,
    sum(xact_commit) AS committed, sum(xact_rollback) AS rolled_back, sum(deadlocks) AS deadlocks
  FROM pg_stat_database"""
# From 18 on WAL is among the files of pg_stat_io, and no column of pg_stat_wal.
_FILES = """
  SELECT coalesce(sum(reads), 0) AS reads, coalesce(sum(writes), 0) + coalesce(sum(extends), 0)
    + (SELECT coalesce(sum((to_jsonb(w) ->> 'wal_write')::int8), 0) FROM pg_stat_wal w) AS writes
  FROM pg_stat_io"""
_STATES = """
  SELECT coalesce(json_object_agg(state, number), '{}') AS connections FROM (
    SELECT coalesce(state, 'unknown') AS state, count(*) AS number FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY 1)"""
_OLDEST = """
  SELECT greatest(0, coalesce(extract(epoch FROM clock_timestamp() - min(began)), 0)) AS oldest_transaction FROM (
    SELECT xact_start FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
    UNION ALL SELECT prepared FROM pg_prepared_xacts) AS open(began)"""
_LEFT = f"""
  SELECT least(2147483647 - max(age(datfrozenxid)), 2147483647 - max(mxid_age(datminmxid))) - {_REFUSES_BEFORE}
    AS transactions_left FROM pg_database"""
_SLOTS = f"""
  SELECT coalesce(json_object_agg(slot_name, kept), '{{}}') AS slots FROM (
    SELECT slot_name, greatest(0, pg_wal_lsn_diff(written, restart_lsn)) AS kept FROM pg_replication_slots, written
    WHERE restart_lsn IS NOT NULL ORDER BY 2 DESC LIMIT {MOST})"""
_FOLLOWERS = f"""
  SELECT coalesce(json_object_agg(application_name, ARRAY[greatest(0, pg_wal_lsn_diff(written, replay_lsn)),
    coalesce(extract(epoch FROM replay_lag), 0)]), '{{}}') AS followers
  FROM pg_stat_replication, written
  WHERE usename = '{ROLE}' AND state = 'streaming' AND replay_lsn IS NOT NULL"""
_ASKED = f"""
  WITH written AS (SELECT CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(),
    pg_last_wal_replay_lsn()) ELSE pg_current_wal_lsn() END AS written)
  SELECT row_to_json(asked)::text FROM (
    SELECT *, (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir()) AS wal_bytes,
      current_setting('max_connections')::int AS max_connections, CASE WHEN NOT pg_is_in_recovery() THEN
      pg_current_wal_flush_lsn()::text END AS flushed, (SELECT max(write_lsn)::text FROM pg_stat_replication
      WHERE usename = 'postgres' AND application_name = '{NAME}') AS received
    FROM ({_COUNTERS}) c, ({_FILES}) f, ({_STATES}) s, ({_OLDEST}) o, ({_LEFT}) l, ({_SLOTS}) k, ({_FOLLOWERS}) r
  ) asked"""
_MEASURED = f"""
  WITH sizes AS MATERIALIZED (
    SELECT encode(textsend(datname::text), 'hex') AS name, datistemplate AS template,
      coalesce(pg_database_size(oid), 0) AS size
    FROM pg_database WHERE datconnlimit <> -2)
  SELECT json_build_object(
    'databases', (SELECT coalesce(json_object_agg(name, size), '{{}}')
      FROM (SELECT name, size FROM sizes WHERE NOT template ORDER BY size DESC, name LIMIT {MOST})),
    'all', (SELECT coalesce(sum(size), 0) FROM sizes))::text"""


async def ask(sockets: Path, port: int, pid: int, servers: Callable[[], Iterable[Instance]]) -> Statistics:
    """``servers``: all that there are, so that those that follow this one are recognized. Raises Unavailable."""
    async with connect(str(sockets), port, pid=pid, limit=SECONDS) as connection:
        said = await _answer(connection, _ASKED, lambda raw: _statistics(raw, servers))
        # Of very many tables it may take too long.
        await connection.execute("SET statement_timeout = '2s'")
        with suppress(psycopg.errors.QueryCanceled):
            databases, data_bytes = await _answer(connection, _MEASURED, _sizes)
            return replace(said, databases=databases, stored_bytes=data_bytes + said.wal_bytes)
        return said


async def _answer(connection: psycopg.AsyncConnection[Any], question: str, read: Callable[[dict[str, Any]], T]) -> T:
    rows = await (await connection.execute(cast("LiteralString", question))).fetchall()
    try:
        return read(json.loads(rows[0][0], parse_constant=_refuse))
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        raise Unavailable("what it says of itself is not of the form that it was asked for") from None


def _statistics(raw: dict[str, Any], servers: Callable[[], Iterable[Instance]]) -> Statistics:
    counts: dict[str, Any] = {name: int(raw[name]) for name in _COUNTS}
    return Statistics(
        **counts,
        connections=_states(raw["connections"]),
        oldest_transaction=_finite(raw["oldest_transaction"]),
        slots=_few(raw["slots"]),
        flushed=_position(raw["flushed"]),
        received=_position(raw["received"]),
        followers=tuple(_followers(raw["followers"], servers)) if raw["followers"] else (),
    )


def _states(raw: dict[str, Any]) -> dict[str, int]:
    """None of those that any server has is left out."""
    found = {"active": 0, "idle": 0}
    for state, number in raw.items():
        known = state if state in STATES else "unknown"
        found[known] = found.get(known, 0) + int(number)
    return found


def _followers(raw: dict[str, Any], servers: Callable[[], Iterable[Instance]]) -> Iterable[Follower]:
    for server in servers():
        if (lag := raw.get(slot_of(server.id))) is not None:
            yield Follower(server.service, server.id, int(lag[0]), _finite(lag[1]))


def _sizes(raw: dict[str, Any]) -> tuple[dict[str, int], int]:
    """The names in any encoding: a database can have another one than ours."""
    named = _few(raw["databases"])
    return {bytes.fromhex(name).decode(errors="backslashreplace"): size for name, size in named.items()}, int(
        raw["all"]
    )


def _few(raw: dict[str, Any]) -> dict[str, int]:
    return {name[: 2 * _LONGEST_NAME]: int(size) for name, size in list(raw.items())[:MOST]}


def _position(raw: Any) -> int | None:
    return None if raw is None else lsn(raw)


def _finite(raw: Any) -> float:
    if not math.isfinite(number := float(raw)):
        raise ValueError(raw)
    return number


def _refuse(constant: str) -> None:
    raise ValueError(constant)
