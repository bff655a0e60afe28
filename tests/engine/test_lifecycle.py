"""A service's life on this machine, from nothing to nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from pathlib import Path

import psycopg
import pytest

from engine.local import PASSWORD, Rig, ask, connect, query, remove, settle
from howdah.domain.states import PostgresVersion
from howdah.engines.local.engine import LocalEngine
from howdah.engines.local.handshake import leaf, shown_certificate
from howdah.engines.local.identity import identifier_of

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("version", PostgresVersion)
async def test_a_service_comes_from_nothing_to_a_verified_connection(
    engine: LocalEngine, version: PostgresVersion
) -> None:
    asked = ask(version)
    status = await settle(engine, asked)
    assert status.ready
    assert (status.restart, status.password_version, status.certificate) == (0, 1, asked.spec.certificate)
    assert status.reason is None
    wanted = {
        "server_encoding": "UTF8",
        "data_checksums": "on",
        "wal_level": "logical",
        "TimeZone": "UTC",
        "ssl_min_protocol_version": "TLSv1.3",
        "password_encryption": "scram-sha-256",
        "shared_buffers": "16MB",
    }
    names = ", ".join(f"current_setting('{name}')" for name in wanted)
    assert await query(status, f"SELECT {names}") == [tuple(wanted.values())]
    locale = "SELECT datlocprovider::text, datlocale FROM pg_database WHERE datname = 'postgres'"
    assert await query(status, locale) == [("b", "C.UTF-8")]
    tls = "SELECT version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert await query(status, tls) == [("TLSv1.3", "TLS_AES_256_GCM_SHA384")]
    assert (await query(status, "SHOW server_version"))[0][0].startswith(f"{version}.")


async def test_a_settled_service_is_left_alone(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    first = await settle(engine, asked)
    pid = rig.postmaster(asked)
    for _ in range(5):
        assert await engine.reconcile(asked.spec, asked.secrets) == first
    assert rig.postmaster(asked) == pid


async def test_a_connection_without_tls_is_refused(engine: LocalEngine) -> None:
    status = await settle(engine, ask())
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        await connect(status, sslmode="disable", channel_binding="disable")


async def test_a_restart_is_a_new_process_with_the_same_data(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    status = await settle(engine, asked)
    await query(status, "CREATE TABLE kept AS SELECT 1 AS number")
    before = rig.postmaster(asked)
    again = await settle(engine, asked.restarted())
    assert again.restart == 1
    assert rig.postmaster(asked) != before
    assert await query(again, "SELECT number FROM kept") == [(1,)]


async def test_a_new_password_replaces_the_old_one_and_is_in_no_log(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    status = await settle(engine, asked)
    await query(status, "ALTER SYSTEM SET log_statement = 'all'")
    await query(status, "SELECT pg_reload_conf()")
    changed = asked.with_password("Another-Secret-42")
    status = await settle(engine, changed)
    assert status.password_version == 2
    assert await query(status, "SELECT 'marked'", password="Another-Secret-42") == [("marked",)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await connect(status, password=PASSWORD)
    logged = "".join(path.read_text() for path in rig.paths(asked).log.iterdir())
    assert "marked" in logged
    assert "SCRAM-SHA-256" not in logged


async def test_a_new_certificate_is_shown_without_a_restart(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    status = await settle(engine, asked)
    pid = rig.postmaster(asked)
    session = await connect(status)
    renewed = asked.with_new_certificate()
    status = await settle(engine, renewed)
    assert status.primary is not None
    assert status.certificate == renewed.spec.certificate
    assert shown_certificate(status.primary.port) == leaf(renewed.spec.certificate)
    assert rig.postmaster(asked) == pid
    await session.execute("SELECT 1")
    await session.close()


async def test_nothing_is_left_of_a_removed_service(rig: Rig, engine: LocalEngine) -> None:
    asked, other = ask(), ask()
    status, neighbour = await settle(engine, asked), await settle(engine, other)
    instance, paths = rig.instance(asked), rig.paths(asked)
    session = await connect(status)
    await remove(engine, asked)
    await session.close()
    assert rig.registry.of(asked.spec.id) == ()
    assert not paths.home.parent.exists()
    assert not paths.sockets.exists()
    assert not any(entry.name.startswith(paths.sockets.name) for entry in rig.layout.run.iterdir())
    if instance.uid is not None:
        assert [pid for pid in rig.processes() if os.stat(f"/proc/{pid}").st_uid == instance.uid] == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", instance.port))
    assert await query(neighbour, "SELECT 1") == [(1,)]
    await remove(engine, asked)


async def test_two_services_have_identities_of_their_own(rig: Rig, engine: LocalEngine) -> None:
    one, two = ask(), ask()
    await asyncio.gather(settle(engine, one), settle(engine, two))
    controls = [(rig.paths(asked).data / "global" / "pg_control").read_bytes() for asked in (one, two)]
    assert len({identifier_of(control) for control in controls}) == 2
    assert controls[0][256:289] != controls[1][256:289], "the authentication nonces differ"


async def test_a_create_needs_no_pool_and_uses_one_that_is_there() -> None:
    rig = Rig(pool=1)
    try:
        async with rig.engine() as engine:
            await asyncio.gather(*(settle(engine, ask()) for _ in range(4)))
            assert len(rig.processes()) >= 4
    finally:
        rig.clean()


async def test_an_instance_has_an_os_user_of_its_own_when_howdah_is_root(rig: Rig, engine: LocalEngine) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can start processes as other users")
    one, two = ask(), ask()
    await settle(engine, one)
    await settle(engine, two)
    assert rig.instance(one).uid != rig.instance(two).uid
    pid = rig.postmaster(one)
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    uid = str(rig.instance(one).uid)
    assert status["Uid"].split() == [uid] * 4
    assert status["Gid"].split() == [uid] * 4
    assert status["Groups"].split() == []
    assert status["NoNewPrivs"] == "1"


async def test_what_is_managed_cannot_be_changed_from_inside(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    status = await settle(engine, asked)
    port = rig.instance(asked).port
    for setting in ("ssl = off", "port = 1", "hba_file = '/tmp/x'", "listen_addresses = '*'", "wal_level = minimal"):
        try:
            await query(status, f"ALTER SYSTEM SET {setting}")
        except psycopg.errors.CantChangeRuntimeParam:
            continue
    again = await settle(engine, asked.restarted())
    shown = "SELECT current_setting('ssl'), current_setting('port'), current_setting('listen_addresses')"
    assert await query(again, shown) == [("on", str(port), "127.0.0.1")]
    assert await query(again, "SHOW wal_level") == [("logical",)]


async def test_leftovers_of_unknown_instances_are_deleted_unless_they_ever_held_data(rig: Rig) -> None:
    used, seeding, trash = ask(), ask(), ask()
    async with rig.engine() as engine:
        for asked in (used, seeding, trash):
            await settle(engine, asked)
            await engine.stop(asked.spec.id)
    places = {asked: rig.paths(asked) for asked in (used, seeding, trash)}
    instances = {asked: rig.instance(asked) for asked in (used, seeding, trash)}
    places[seeding].initialised.unlink()
    places[trash].home.rename(rig.layout.trash(trash.spec.id, instances[trash].id))
    for instance in rig.registry.all():
        await rig.registry.remove(instance.id)
    async with rig.engine():
        assert [service.name for service in rig.layout.services.iterdir()] == [used.spec.id.ubid]
        assert places[used].data.is_dir()
        assert not places[seeding].sockets.exists()
    await rig.registry.put(instances[used])
    async with rig.engine() as engine:
        assert (await settle(engine, used)).ready


async def test_what_a_killed_filler_left_is_no_ready_data_directory(rig: Rig) -> None:
    async with rig.engine() as engine:
        await settle(engine, ask())
    (pool,) = (path for path in rig.layout.pool.iterdir() if path.name.startswith("18."))
    half_made = pool / "making-0123456789abcdef"
    (half_made / "global").mkdir(parents=True)
    async with rig.engine() as engine:
        assert not half_made.exists()
        assert (await settle(engine, ask())).ready


async def test_an_unknown_layout_of_the_control_file_means_initdb_for_each_service(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("howdah.engines.local.identity._LAYOUTS", {})
    async with rig.engine() as engine:
        one, two = ask(), ask()
        assert (await settle(engine, one)).ready
        assert (await settle(engine, two)).ready
    controls = [(rig.paths(asked).data / "global" / "pg_control").read_bytes() for asked in (one, two)]
    assert identifier_of(controls[0]) != identifier_of(controls[1])


async def test_sockets_of_a_state_directory_that_is_gone_are_tidied(rig: Rig) -> None:
    gone = Rig()
    asked = ask()
    async with gone.engine() as engine:
        await settle(engine, asked)
        await engine.stop(asked.spec.id)
    sockets = gone.paths(asked).sockets
    shutil.rmtree(gone.top)
    assert sockets.is_dir()
    async with rig.engine():
        assert [entry.name for entry in rig.layout.run.iterdir() if entry.name.startswith(sockets.name)] == []
