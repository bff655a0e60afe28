"""What goes wrong around a service, and what becomes of it."""

from __future__ import annotations

import asyncio
import os
import pickle
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from engine.local import QUICK_PROBE, Asked, Rig, ask, connect, kill_postmaster, query, remove, settle, until
from howdah.domain.ids import InstanceId
from howdah.domain.services import ServiceStatus
from howdah.engines.local.binaries import cache_directory
from howdah.engines.local.engine import LocalEngine
from howdah.engines.local.watch import Watch

pytestmark = pytest.mark.asyncio


async def with_data(engine: LocalEngine, asked: Asked) -> ServiceStatus:
    status = await settle(engine, asked)
    await query(status, "CREATE TABLE kept AS SELECT 7 AS number")
    return status


async def has_its_data(status: ServiceStatus) -> bool:
    return await query(status, "SELECT number FROM kept") == [(7,)]


async def test_a_killed_server_is_noticed_at_once_and_comes_back_with_its_data(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    await with_data(engine, asked)
    await kill_postmaster(rig, engine, asked)
    assert await has_its_data(await settle(engine, asked))


async def test_a_server_that_dies_again_and_again_is_restarted_ever_more_slowly(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    await settle(engine, asked)
    waits: list[float] = []
    for _ in range(3):
        await kill_postmaster(rig, engine, asked)
        status = await engine.reconcile(asked.spec, asked.secrets)
        waits.append(status.retry_after or 0)
        assert status.ready or "killed by SIGKILL" in (status.reason or "")
        await settle(engine, asked)
    assert waits[0] == 0, "the first restart does not wait"
    assert 0 < waits[1] < waits[2]


async def test_a_second_engine_takes_over_running_servers(rig: Rig) -> None:
    asked = ask()
    async with rig.engine() as first:
        status = await with_data(first, asked)
    session = await connect(status)
    pid = rig.postmaster(asked)
    async with rig.engine() as second:
        await session.execute("SELECT 1")
        await session.close()
        assert (await second.reconcile(asked.spec, asked.secrets)).ready
        assert rig.postmaster(asked) == pid
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            assert await anext(second.changes()) == asked.spec.id
        assert await has_its_data(await settle(second, asked))


_DRIVE = """
import asyncio, pickle, sys
from pathlib import Path
from engine.local import FileRegistry, settle
from howdah.engines.local.engine import LocalEngine

async def main():
    settings, asked = pickle.loads(sys.stdin.buffer.read())
    engine = LocalEngine(settings, FileRegistry(Path(sys.argv[1])), progress=lambda _: None)
    await engine.start()
    print("started", flush=True)
    await settle(engine, asked)
    print("settled", flush=True)
    await asyncio.Event().wait()  # to be killed

asyncio.run(main())
"""


def drive(rig: Rig, asked: Asked) -> subprocess.Popen[bytes]:
    """An engine in a process of its own that settles one service."""
    process = subprocess.Popen(
        [sys.executable, "-c", _DRIVE, str(rig.top / "instances.json")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert process.stdin is not None
    process.stdin.write(pickle.dumps((rig.settings, asked)))
    process.stdin.close()
    return process


def read_until(process: subprocess.Popen[bytes], word: bytes) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == word:
            return
    raise AssertionError(f"the engine's process ended without {word!r}")


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


@pytest.mark.parametrize("seed", range(6))
async def test_an_engine_killed_at_any_moment_of_a_create_is_followed_by_one_that_finishes_it(
    rig: Rig, seed: int
) -> None:
    asked = ask()
    process = drive(rig, asked)
    try:
        read_until(process, b"started")
        await asyncio.sleep(random.Random(seed).uniform(0, 0.15))
    finally:
        end(process)
    async with rig.engine() as engine:
        status = await settle(engine, asked)
        assert await query(status, "SELECT 1") == [(1,)]
        assert len(rig.registry.of(asked.spec.id)) == 1
        await remove(engine, asked)
        assert rig.processes() == []


async def test_a_restart_is_made_exactly_once_across_a_killed_engine(rig: Rig) -> None:
    asked = ask()
    async with rig.engine() as engine:
        await with_data(engine, asked)
    wanted = asked.restarted()
    process = drive(rig, wanted)
    try:
        read_until(process, b"settled")
        pid = rig.postmaster(asked)
    finally:
        end(process)
    async with rig.engine() as engine:
        status = await settle(engine, wanted)
        assert status.restart == 1
        assert rig.postmaster(asked) == pid
        assert await has_its_data(status)


async def test_a_vanished_data_directory_is_reported_and_never_made_anew(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    await with_data(engine, asked)
    data = rig.paths(asked).data
    await kill_postmaster(rig, engine, asked)
    data.rename(data.with_name("moved"))
    for _ in range(5):
        status = await engine.reconcile(asked.spec, asked.secrets)
        assert not status.ready
        assert status.reason == "data directory is missing"
        assert not data.exists()
    data.with_name("moved").rename(data)
    assert await has_its_data(await settle(engine, asked))


async def test_a_suspended_server_is_reported_and_not_killed(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    await settle(engine, asked)
    pid = rig.postmaster(asked)
    os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(20):
            assert await anext(engine.changes()) == asked.spec.id
        status = await engine.reconcile(asked.spec, asked.secrets)
        assert not status.ready
        assert "does not answer" in (status.reason or "")
    finally:
        os.kill(pid, signal.SIGCONT)
    await until(engine, asked, "ready again", lambda status: status.ready)
    assert rig.postmaster(asked) == pid


async def test_a_port_that_somebody_else_took_is_left_to_them(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    await with_data(engine, asked)
    before = rig.instance(asked).port
    await engine.stop(asked.spec.id)
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", before))
        thief.listen()
        status = await settle(engine, asked)
        assert status.primary is not None
        assert status.primary.port == rig.instance(asked).port != before
        assert await has_its_data(status)


async def test_a_server_that_cannot_start_says_why(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    await settle(engine, asked)
    label = rig.paths(asked).data / "backup_label"
    label.write_text("nonsense")
    restarted = asked.restarted()
    status = await until(
        engine, restarted, "it waits", lambda s: s.retry_after is not None and "backup_label" in (s.reason or "")
    )
    assert not status.ready
    assert "exit status 1" in (status.reason or "")
    label.unlink()
    status = await settle(engine, restarted)
    assert (status.restart, status.reason) == (1, None)


async def test_settings_that_keep_a_server_from_starting_are_put_aside(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    status = await settle(engine, asked)
    await query(status, "ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'")
    status = await settle(engine, asked.restarted())
    assert "no_such_library" in (status.reason or "")
    assert "no_such_library" in (rig.paths(asked).data / "postgresql.auto.conf.broken").read_text()
    assert (await settle(engine, asked.restarted().restarted())).reason is None


async def test_every_connection_taken_leaves_a_way_in_for_us(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    status = await settle(engine, asked)
    taken: list[psycopg.AsyncConnection] = []
    refused = ""
    while not refused:
        try:
            taken.append(await connect(status))
        except psycopg.OperationalError as error:
            refused = str(error)
    assert "clients already" in refused or "connection slots" in refused
    changed = asked.with_password("Another-Secret-42")
    status = await settle(engine, changed)
    assert status.ready
    for session in taken:
        await session.close()
    assert await query(status, "SELECT 1", password="Another-Secret-42") == [(1,)]


async def test_what_a_tenant_leaves_in_its_directories_leads_nobody_astray(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    await with_data(engine, asked)
    await engine.stop(asked.spec.id)
    paths = rig.paths(asked)
    precious = rig.top / "precious"
    precious.write_text("ours")
    (paths.data / "standby.signal").symlink_to(precious)
    (paths.data / "recovery.signal").touch()
    (paths.data / "postmaster.pid").symlink_to(precious)
    (paths.log / "elsewhere").symlink_to(rig.top)
    (paths.log / "postgres-Mon.json").unlink(missing_ok=True)
    (paths.log / "postgres-Mon.json").symlink_to(precious)
    status = await settle(engine, asked)
    assert await has_its_data(status)
    assert await query(status, "SELECT pg_is_in_recovery()") == [(False,)]
    await remove(engine, asked)
    assert precious.read_text() == "ours"


async def test_a_removal_interrupted_anywhere_is_finished_by_the_next(rig: Rig) -> None:
    asked = ask()
    async with rig.engine() as engine:
        await settle(engine, asked)
        removal = asyncio.create_task(engine.remove(asked.spec.id, None))
        await asyncio.sleep(0.05)
        removal.cancel()
        await asyncio.gather(removal, return_exceptions=True)
    async with rig.engine() as engine:
        await remove(engine, asked)
    assert rig.processes() == []
    assert rig.registry.all() == ()
    assert list(rig.layout.services.iterdir()) == []


async def test_a_tenant_with_read_only_directories_is_removed_all_the_same(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    await settle(engine, asked)
    stubborn = rig.paths(asked).data / "base" / "stubborn"
    stubborn.mkdir()
    (stubborn / "file").touch()
    uid = rig.instance(asked).uid
    if uid is not None:
        os.chown(stubborn, uid, uid)
    stubborn.chmod(0)
    await remove(engine, asked)
    assert list(rig.layout.services.iterdir()) == []


async def test_foreign_wal_is_refused(rig: Rig, engine: LocalEngine) -> None:
    one, two = ask(), ask()
    await settle(engine, one)
    await settle(engine, two)
    for asked in (one, two):
        await engine.stop(asked.spec.id)
    source = next(path for path in (rig.paths(one).data / "pg_wal").iterdir() if len(path.name) == 24)
    target = rig.paths(two).data / "pg_wal" / source.name
    facts = target.stat()
    shutil.copyfile(source, target)
    assert target.stat().st_uid == facts.st_uid
    status = await until(engine, two, "it gives up", lambda s: "exit status" in (s.reason or ""))
    assert not status.ready


MATTERS_MOST = [
    "engine/test_lifecycle.py::test_a_service_comes_from_nothing_to_a_verified_connection[18]",
    "engine/test_archiving.py::test_a_service_is_restored_to_the_moment_before_a_mistake[18]",
    "cli/test_members.py::test_a_read_replica_is_made_and_promoted",
]
MORE = ["-k", "nothing_to or is_left or killed_server or port_that", "engine"]


@pytest.mark.parametrize("chosen", [MATTERS_MOST, pytest.param(MORE, marks=pytest.mark.long)], ids=["most", "more"])
async def test_an_ordinary_user_gets_the_same(rig: Rig, chosen: list[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("this test run is an ordinary user's already")
    nobody = pwd.getpwnam("nobody")
    home = rig.top / "home"
    cache, made = home / "cache" / "howdah", home / "test-cache"
    cache.mkdir(parents=True)
    for wheel in cache_directory().glob("*.whl"):
        shutil.copy(wheel, cache)
    (made / "templates").mkdir(parents=True)
    for name, same in (("engine", "templates"), ("served", ".")):
        (made / name).symlink_to(same)  # What is made for one test serves the others.
    as_nobody = ["setpriv", "--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid), "--clear-groups"]
    subprocess.run(["chown", "-R", f"{nobody.pw_uid}:{nobody.pw_gid}", str(home)], check=True)
    done = subprocess.run(
        [
            *as_nobody,
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *chosen,
        ],
        env={
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "XDG_CACHE_HOME": str(home / "cache"),
            "HOWDAH_TEST_CACHE": str(made),
        },
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


async def test_a_probe_finds_no_fault_in_a_healthy_server(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask()
    verdicts: list[bool] = []
    probed = Watch.probed

    def noted(watch: Watch, identifier: InstanceId, *, alive: bool) -> None:
        verdicts.append(alive)
        probed(watch, identifier, alive=alive)

    monkeypatch.setattr(Watch, "probed", noted)
    async with rig.engine(QUICK_PROBE) as engine:
        await settle(engine, asked)
        async with asyncio.timeout(20):
            while len(verdicts) < 4:
                await asyncio.sleep(0.01)
        assert all(verdicts)
        assert (await engine.reconcile(asked.spec, asked.secrets)).ready
        logged = "".join(path.read_text() for path in rig.paths(asked).log.iterdir())
        assert "FATAL" not in logged


async def test_a_backend_that_outlives_its_postmaster_is_ended_before_the_next(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    status = await with_data(engine, asked)
    busy = await connect(status)
    pid = busy.info.backend_pid
    looping = asyncio.create_task(busy.execute("DO $$ BEGIN LOOP END LOOP; END $$"))
    async with asyncio.timeout(10):
        while not await query(status, f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND query ~ '^DO'"):
            await asyncio.sleep(0.01)
    await kill_postmaster(rig, engine, asked)
    assert await has_its_data(await settle(engine, asked, within=10))
    assert not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text()
    with pytest.raises(psycopg.OperationalError):
        await looping
    await busy.close()


async def test_a_server_that_recovers_from_a_crashed_backend_is_not_ready_meanwhile(
    rig: Rig, engine: LocalEngine
) -> None:
    asked = ask()
    status = await with_data(engine, asked)
    session = await connect(status)
    await session.execute("ALTER SYSTEM SET max_wal_size = '4GB'")
    await session.execute("SELECT pg_reload_conf()")
    await session.execute("CREATE TABLE much AS SELECT n, md5(n::text) AS t FROM generate_series(1, 1000000) AS n")
    before = rig.postmaster(asked)
    os.kill(session.info.backend_pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        assert await anext(engine.changes()) == asked.spec.id
    status = await engine.reconcile(asked.spec, asked.secrets)
    assert status.ready or (status.reason or "").startswith("the server is recovering")
    status = await settle(engine, asked)
    assert await query(status, "SELECT count(*) FROM much") == [(1000000,)]
    assert rig.postmaster(asked) == before
    await session.close()


@pytest.mark.long
async def test_a_long_recovery_is_work_under_way_and_not_a_failure(rig: Rig, engine: LocalEngine) -> None:
    asked = ask()
    status = await with_data(engine, asked)
    await query(status, "ALTER SYSTEM SET max_wal_size = '4GB'")
    await query(status, "SELECT pg_reload_conf()")
    await query(status, "CREATE TABLE much AS SELECT n, md5(n::text) AS text FROM generate_series(1, 3000000) AS n")
    await kill_postmaster(rig, engine, asked)
    seen: list[str] = []

    def is_ready(status: ServiceStatus) -> bool:
        seen.append(status.reason or "")
        return status.ready

    status = await until(engine, asked, "it has recovered", is_ready)
    assert await query(status, "SELECT count(*) FROM much") == [(3000000,)]
    assert seen[-1] == ""
    assert all(re.match("the server is (starting up|recovering)", reason) for reason in seen[:-1]), seen
