"""What is measured of real servers is what they did, and no tenant can make it fail or lie about others."""

from __future__ import annotations

import os
import signal
import time

import psycopg
import pytest

from engine.local import Rig, ask, connect, query, settle
from howdah.domain.ids import ServiceId
from howdah.domain.metrics import ServerMetrics, Statistics, Usage
from howdah.domain.states import PostgresVersion
from howdah.engines.local.engine import LocalEngine
from howdah.launcher.processes import started_at

pytestmark = pytest.mark.asyncio


async def said(engine: LocalEngine, service: ServiceId) -> Statistics:
    found = (await engine.metrics(service)).statistics
    assert found is not None
    return found


@pytest.mark.parametrize("version", PostgresVersion)
async def test_counters_tell_what_clients_did(engine: LocalEngine, version: PostgresVersion) -> None:
    asked = ask(version)
    status = await settle(engine, asked)
    before = await said(engine, asked.spec.id)
    async with await connect(status) as session:
        await session.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) n")
        await session.execute("UPDATE t SET n = n WHERE n <= 100")
        await session.execute("DELETE FROM t WHERE n <= 10")
        await session.execute("CREATE DATABASE another")
        with pytest.raises(psycopg.errors.DivisionByZero):
            await session.execute("SELECT 1 / 0")
        await session.execute("SELECT pg_stat_force_next_flush()")
        await session.execute("CHECKPOINT")
        after = await said(engine, asked.spec.id)
        assert after.connections == {"active": 0, "idle": 1}
    changes = {
        name: getattr(after, name) - getattr(before, name) for name in ("inserted", "updated", "deleted", "rolled_back")
    }
    assert changes["inserted"] >= 1000
    assert changes["updated"] >= 100
    assert changes["deleted"] >= 10
    assert changes["rolled_back"] >= 1
    assert after.committed > before.committed
    assert after.fetched >= before.fetched
    assert after.writes > before.writes
    assert after.blocks_hit > before.blocks_hit
    assert (after.deadlocks, after.max_connections, after.oldest_transaction) == (0, 100, 0)
    assert after.databases is not None
    assert set(after.databases) == {"postgres", "another"}
    assert after.stored_bytes is not None
    assert after.stored_bytes > sum(after.databases.values()) + after.wal_bytes
    assert 1_000_000_000 < after.transactions_left < 1 << 31


async def test_an_open_transaction_a_prepared_one_and_what_a_slot_keeps_are_seen(engine: LocalEngine) -> None:
    asked = ask()
    status = await settle(engine, asked)
    await query(status, "ALTER SYSTEM SET max_prepared_transactions = 2")
    await query(status, "SELECT pg_create_physical_replication_slot('mine', true)")
    await query(status, "SELECT pg_logical_emit_message(true, 'x', repeat('x', 100000))")
    found = await said(engine, asked.spec.id)
    assert found.slots["mine"] >= 100_000
    assert found.oldest_transaction == 0
    async with await connect(status) as session:
        await session.execute("BEGIN; SELECT pg_sleep(0.2)")
        found = await said(engine, asked.spec.id)
        assert found.oldest_transaction >= 0.2
        assert found.connections == {"active": 0, "idle": 0, "idle in transaction": 1}
    asked = asked.restarted()
    status = await settle(engine, asked)
    await query(status, "BEGIN; CREATE TABLE p (); PREPARE TRANSACTION 'forgotten'")
    assert (await said(engine, asked.spec.id)).oldest_transaction > 0


async def test_cpu_and_memory_are_those_of_all_its_processes_and_never_go_back(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    status = await settle(engine, asked)

    async def usage() -> Usage:
        found = (await engine.metrics(asked.spec.id)).usage
        assert found is not None
        return found

    before = await usage()
    for _ in range(3):
        # Each in a session of its own, whose process has ended by then.
        await query(status, "SELECT sum(n) FROM generate_series(1, 2000000) n")
        now = await usage()
        assert now.user_seconds >= before.user_seconds
        assert now.system_seconds >= before.system_seconds
        assert now.running_seconds > before.running_seconds
        before = now
    assert before.user_seconds > 0.2
    async with await connect(status) as session:
        await session.execute("SET work_mem = '1GB'")
        await session.execute("DECLARE c CURSOR WITH HOLD FOR SELECT repeat('x', 100) FROM generate_series(1, 200000)")
        assert (await usage()).own_bytes > before.own_bytes + (15 << 20)
    assert before.shared_bytes > 1 << 20
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME) - started_at(rig.postmaster(asked)) / os.sysconf("SC_CLK_TCK")
    assert abs((await usage()).running_seconds - since_boot) < 5


async def test_a_server_that_ended_has_no_metrics_and_one_that_hangs_only_what_the_kernel_says(
    rig: Rig, engine: LocalEngine
) -> None:
    asked = ask()
    assert await engine.metrics(asked.spec.id) == ServerMetrics()
    await settle(engine, asked)
    postmaster = rig.postmaster(asked)
    os.kill(postmaster, signal.SIGSTOP)
    try:
        found = await engine.metrics(asked.spec.id)
        assert found.usage is not None
        assert found.statistics is None
    finally:
        os.kill(postmaster, signal.SIGCONT)
    await engine.stop(asked.spec.id)
    assert await engine.metrics(asked.spec.id) == ServerMetrics()


async def test_a_tenant_that_takes_every_connection_is_measured_all_the_same(engine: LocalEngine) -> None:
    asked = ask()
    status = await settle(engine, asked)
    await query(status, "ALTER SYSTEM SET max_connections = 12")
    asked = asked.restarted()
    status = await settle(engine, asked)
    taken: list[psycopg.AsyncConnection] = []
    try:
        while len(taken) < 12:
            try:
                taken.append(await connect(status))
            except psycopg.OperationalError:
                break
        found = await said(engine, asked.spec.id)
        assert found.connections["idle"] == len(taken) == 12
        assert found.max_connections == 12
    finally:
        for session in taken:
            await session.close()


async def test_names_of_databases_in_any_encoding_and_number_are_told_of(engine: LocalEngine) -> None:
    asked = ask()
    status = await settle(engine, asked)
    async with await connect(status) as session:
        await session.execute('CREATE DATABASE "a""b\\c d"')
        await session.execute(
            "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
        )
    latin = await connect(status, dbname="latin", client_encoding="LATIN1")
    await latin.execute('CREATE DATABASE "caf\xe9"')
    await latin.close()
    databases = (await said(engine, asked.spec.id)).databases
    assert databases is not None
    assert set(databases) == {"postgres", 'a"b\\c d', "latin", "caf\\xe9"}
    assert all(size > 1 << 20 for size in databases.values())


async def test_a_tenant_that_rewrites_the_statistics_is_told_of_without_them(engine: LocalEngine) -> None:
    asked = ask()
    status = await settle(engine, asked)
    async with await connect(status) as session:
        await session.execute("SET allow_system_table_mods = on")
        await session.execute("ALTER VIEW pg_catalog.pg_stat_activity RENAME TO hidden")
        await session.execute(
            "CREATE VIEW pg_catalog.pg_stat_activity AS SELECT -n AS pid, 'client backend'::text AS backend_type,"
            " 'state ' || n AS state, NULL::timestamptz AS xact_start FROM generate_series(1, 100000) n"
        )
    found = await said(engine, asked.spec.id)
    assert found.connections == {"active": 0, "idle": 0, "unknown": 100_000}
    async with await connect(status) as session:
        await session.execute("SET allow_system_table_mods = on")
        await session.execute("ALTER VIEW pg_catalog.pg_stat_database RENAME TO lost")
    found = await engine.metrics(asked.spec.id)
    assert found.statistics is None
    assert found.usage is not None
