"""A tenant is a superuser and the owner of its files: what it does to itself must not shut us, or its clients, out."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from engine.local import PASSWORD, Rig, ask, connect, query, settle
from howdah.domain.services import ServiceStatus
from howdah.engines.local.engine import LocalEngine
from howdah.engines.local.handshake import is_alive

pytestmark = pytest.mark.asyncio

NEW = "Another-Secret-42"


async def with_another_superuser(status: ServiceStatus) -> psycopg.AsyncConnection[object]:
    await query(status, f"CREATE ROLE other SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
    return await connect(status, user="other")


async def test_a_login_trigger_that_sleeps_is_no_server_that_hangs(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    status = await settle(engine, asked)
    async with await connect(status) as session:
        await session.execute(
            "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); END'"
        )
        await session.execute("CREATE EVENT TRIGGER slow ON login EXECUTE FUNCTION slow()")
        await session.execute("ALTER EVENT TRIGGER slow ENABLE ALWAYS")
    port = rig.instance(asked).port
    assert await is_alive(f"{rig.paths(asked).sockets}/.s.PGSQL.{port}", port, limit=2)
    assert (await settle(engine, asked.with_password(NEW), within=5)).ready


async def test_nothing_set_for_a_role_or_a_server_keeps_a_new_password_out(engine: LocalEngine) -> None:
    asked = ask()
    other = await with_another_superuser(await settle(engine, asked))
    for setting in (
        "SET synchronous_commit = local",
        "ALTER ROLE postgres SET role = other",
        "ALTER ROLE postgres SET transaction_timeout = '1ms'",
        "ALTER ROLE postgres SET client_encoding = 'SJIS'",
        "ALTER ROLE postgres SET session_preload_libraries = 'nonsense'",
        "ALTER ROLE postgres SET local_preload_libraries = 'nonsense'",
        "ALTER ROLE postgres SET search_path = 'nowhere'",
        "ALTER ROLE postgres SET default_transaction_read_only = on",
        "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
        "ALTER SYSTEM SET pre_auth_delay = '30s'",
        "ALTER SYSTEM SET post_auth_delay = '30s'",
        "SELECT pg_reload_conf()",
    ):
        await other.execute(setting)  # pyright: ignore[reportArgumentType]
    status = await settle(engine, asked.with_password(NEW), within=5)
    assert status.password_version == asked.spec.password_version + 1
    await other.execute("ALTER ROLE postgres RESET ALL")
    await other.execute("ALTER SYSTEM RESET ALL")
    await other.execute("SELECT pg_reload_conf()")
    await other.close()
    assert await query(status, "SELECT 1", password=NEW) == [(1,)]


async def test_a_new_password_is_good_where_the_old_one_had_expired(engine: LocalEngine) -> None:
    asked = ask()
    await query(await settle(engine, asked), "ALTER ROLE postgres VALID UNTIL '2001-01-01'")
    status = await settle(engine, asked.with_password(NEW))
    assert await query(status, "SELECT 1", password=NEW) == [(1,)]


async def test_a_password_that_cannot_be_set_cuts_no_client_off(engine: LocalEngine) -> None:
    asked = ask()
    other = await with_another_superuser(await settle(engine, asked))
    await other.execute("ALTER ROLE postgres RENAME TO another")
    changed = asked.with_password(NEW)
    status = await engine.reconcile(changed.spec, changed.secrets)
    assert status.ready
    assert not status.settled
    assert status.password_version == asked.spec.password_version
    assert 'role "postgres" does not exist' in (status.reason or "")
    await other.execute("ALTER ROLE another RENAME TO postgres")
    await other.close()
    assert await query(await settle(engine, changed), "SELECT 1", password=NEW) == [(1,)]


async def test_a_backend_is_ended_before_the_next_server_though_its_tenant_deleted_the_pid_file(
    rig: Rig, engine: LocalEngine
) -> None:
    asked = ask()
    status = await settle(engine, asked)
    busy = await connect(status)
    pid, before = busy.info.backend_pid, rig.postmaster(asked)
    looping = asyncio.create_task(busy.execute("DO $$ BEGIN PERFORM 'looping'; LOOP END LOOP; END $$"))
    watching = await connect(status)
    while not await (await watching.execute("SELECT 1 FROM pg_stat_activity WHERE query ~ '^DO'")).fetchall():
        await asyncio.sleep(0.01)
    (rig.paths(asked).data / "postmaster.pid").unlink()
    os.kill(before, signal.SIGKILL)
    await anext(engine.changes())
    assert (await settle(engine, asked, within=10)).ready
    assert not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text()
    for session, task in ((busy, looping), (watching, None)):
        with suppress(psycopg.OperationalError):
            await (task or session.execute("SELECT 1"))
        await session.close()


@pytest.mark.parametrize(
    "setting", ["unix_socket_group = nonsense", pytest.param("ssl_ciphers = nonsense", marks=pytest.mark.long)]
)
async def test_what_is_pinned_keeps_nonsense_from_stopping_the_next_start(engine: LocalEngine, setting: str) -> None:
    asked = ask()
    await query(await settle(engine, asked), f"ALTER SYSTEM SET {setting}")
    assert (await settle(engine, asked.restarted(), within=10)).ready
