"""SIGHUP: the router goes on in a new program and drops no connection."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from fixtures.server import eventually

from howdah.domain.routes import RouteState
from router.raw_client import dial
from router.renewing import renew
from router.router_process import RouterProcess, route_to
from router.tls_postgres import Postgres


def test_connections_go_on_and_so_does_everything_that_they_can_do(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    with psycopg.connect(router.dsn(postgres_18.names[0]), autocommit=True) as connection:
        for _ in range(3):
            backend = connection.info.backend_pid
            renew(router)
            assert connection.execute("SELECT pg_backend_pid()").fetchone() == (backend,)
            with psycopg.connect(router.dsn(postgres_18.names[0])) as another:
                assert another.execute("SELECT 1").fetchone() == (1,)
        threading.Timer(0.1, connection.cancel).start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(60)")
        router.routes()
        eventually("a connection whose service is gone is closed", lambda: _fails(connection))


def _fails(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def test_bytes_that_wait_for_a_slow_reader_arrive_whole(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    with psycopg.connect(router.dsn(postgres_18.names[0])) as connection, connection.cursor() as cursor:
        rows, read = 200_000, 0
        with cursor.copy(f"COPY (SELECT repeat('x', 100) FROM generate_series(1, {rows})) TO STDOUT") as copy:
            for row in copy:
                if read in (1, 1000, 100_000):
                    renew(router)
                read += row.tobytes().count(b"\n") if isinstance(row, memoryview) else row.count(b"\n")
        assert read == rows


def test_new_connections_work_all_the_time(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    failed: list[Exception] = []
    made = 0
    done = threading.Event()

    def connect_again_and_again() -> None:
        nonlocal made
        while not done.is_set():
            try:
                psycopg.connect(router.dsn(postgres_18.names[0])).close()
                made += 1
            except psycopg.Error as error:
                failed.append(error)

    clients = [threading.Thread(target=connect_again_and_again) for _ in range(2)]
    for client in clients:
        client.start()
    for _ in range(5):
        before = made
        renew(router)
        eventually("somebody has connected", lambda before=before: made > before or failed)
    done.set()
    for client in clients:
        client.join()
    assert not failed


def test_a_client_that_has_no_service_yet_holds_nothing_up(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18, state=RouteState.HELD))
    router.start()
    before = router.open_files()
    with dial(router.port) as silent:
        silent.sendall(b"\0")
        eventually("it is accepted, as it has spoken", lambda: router.open_files() > before)
        renew(router)
        assert silent.recv(1) == b""


def test_a_command_that_was_left_for_it_is_executed_once(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "howdah.router", "--routes", str(router.routes_file), "--port", str(port)]
    command += ["--address", "127.0.0.1", "--status-file", str(router.status_file)]
    next_file = router.status_file.with_name(router.status_file.name + ".next")
    next_file.write_text(json.dumps(command))
    with psycopg.connect(router.dsn(postgres_18.names[0])) as connection:
        assert router.process is not None
        router.process.send_signal(signal.SIGHUP)
        eventually("it listens on the other port", lambda: router.status()["port"] == port)
        assert connection.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(router.dsn(postgres_18.names[0]))
        router.port = port
        psycopg.connect(router.dsn(postgres_18.names[0])).close()
    assert not next_file.exists()


def test_the_next_free_port_is_kept_unless_another_is_asked_for(router: RouterProcess):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        asked = router.port = holder.getsockname()[1]
        router.start()
        assert router.port > asked
    renew(router)
    dial(router.port).close()


@pytest.mark.parametrize("content", ['["/nowhere/python"]', "no JSON"])
def test_a_program_that_cannot_be_executed_changes_nothing(router: RouterProcess, postgres_18: Postgres, content: str):
    router.routes(route_to(postgres_18))
    router.start()
    with psycopg.connect(router.dsn(postgres_18.names[0])) as connection:
        router.status_file.with_name(router.status_file.name + ".next").write_text(content)
        assert router.process is not None
        router.process.send_signal(signal.SIGHUP)
        eventually("it says why", lambda: "cannot_be_renewed" in router.log_file.read_text())
        assert connection.execute("SELECT 1").fetchone() == (1,)
        psycopg.connect(router.dsn(postgres_18.names[0])).close()
        renew(router)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_connections_go_on_though_the_status_file_cannot_be_written(router: RouterProcess, postgres_18: Postgres):
    router.status_file = router.directory / "status" / "router.json"
    router.status_file.parent.mkdir()
    router.routes(route_to(postgres_18))
    router.start()
    before = router.status()
    with psycopg.connect(router.dsn(postgres_18.names[0])) as connection:
        shutil.rmtree(router.status_file.parent)
        assert router.process is not None
        router.process.send_signal(signal.SIGHUP)
        eventually("it goes on", lambda: '"renewed"' in router.log_file.read_text())
        assert connection.execute("SELECT 1").fetchone() == (1,)
        router.status_file.parent.mkdir()
        eventually("it is written", router.status_file.exists)
        assert (router.status()["pid"], router.status()["port"]) == (before["pid"], before["port"])
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_it_leaks_no_file_and_stops_as_before(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    with psycopg.connect(router.dsn(postgres_18.names[0])):
        renew(router)
        files = router.open_files()
        for _ in range(3):
            renew(router)
        assert router.open_files() <= files  # The first count may have one that was being closed.
    assert router.stop() == 0


def test_a_second_router_with_the_same_status_file_does_not_start(router: RouterProcess, tmp_path: Path):
    router.start()
    renew(router)
    second = RouterProcess(tmp_path)
    shutil.copy(router.status_file, tmp_path / "kept")
    with pytest.raises(AssertionError, match="another router writes"):
        second.start()
    shutil.copy(tmp_path / "kept", router.status_file)
