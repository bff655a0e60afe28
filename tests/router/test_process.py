"""The router as a process: its port, its status, its signals, its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from fixtures.server import eventually

from howdah import __version__
from router.raw_client import ask_for_tls, dial, read_to_end
from router.router_process import RouterProcess, route_to
from router.tls_postgres import Postgres, run_as_server_user


def test_the_status_file_says_who_listens_where(router: RouterProcess):
    router.start()
    assert router.process is not None
    status = router.status()
    assert status == {
        "pid": router.process.pid,
        "port": router.port,
        "version": __version__,
        "table": 2,
        "started_at": status["started_at"],
    }
    dial(router.port).close()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_all_addresses_have_the_same_port(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start(addresses=("127.0.0.1", "::1"))
    for address in ("127.0.0.1", "::1"):
        with psycopg.connect(router.dsn(postgres_18.names[0], hostaddr=address)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_address_that_the_machine_lacks_is_skipped(router: RouterProcess):
    router.start(addresses=("127.0.0.1", "2001:db8::1"))
    dial(router.port).close()


def test_no_address_at_all_is_an_error_in_words(router: RouterProcess):
    with pytest.raises(AssertionError, match="none of the addresses 2001:db8::1 exists on this machine"):
        router.start(addresses=("2001:db8::1",))


@pytest.mark.parametrize("taken_on", ["127.0.0.1", "127.0.0.2"])
def test_a_port_taken_on_any_address_gives_way_to_the_next(router: RouterProcess, taken_on: str):
    with socket.create_server((taken_on, 0)) as holder:
        router.port = holder.getsockname()[1]
        router.start(addresses=("127.0.0.1", "127.0.0.2"))
        assert router.port > holder.getsockname()[1]
        assert f"port {holder.getsockname()[1]} is taken" in router.log_file.read_text()


def test_a_search_without_success_is_an_error_in_words(router: RouterProcess):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        router.port = holder.getsockname()[1]
        with pytest.raises(AssertionError, match="no free port from"):
            router.start("--port-search", "0")


def test_sigterm_ends_it_with_success_and_closes_connections(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    with (
        psycopg.connect(router.dsn(postgres_18.names[0])) as connection,
        ask_for_tls(router.port) as waiting,
    ):
        assert router.stop() == 0
        assert read_to_end(waiting) == b""
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_after_a_kill_it_starts_again_on_the_same_port(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    port = router.port
    with psycopg.connect(router.dsn(postgres_18.names[0])):
        router.stop(signal.SIGKILL)
    started = time.monotonic()
    router.start("--port-search", "0")
    assert router.port == port
    with psycopg.connect(router.dsn(postgres_18.names[0])) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert time.monotonic() - started < 5


def test_the_death_of_whoever_reads_its_log_does_not_end_it(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    reader, writer = os.pipe()
    router.start(stderr=writer)
    os.close(writer)
    os.close(reader)
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError, match="unrecognized name"):
            psycopg.connect(router.dsn("nobody.localhost"))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_ends_when_its_directory_is_gone_and_so_are_its_clients(
    router: RouterProcess, postgres_18: Postgres, workers: str
):
    router.routes(route_to(postgres_18))
    router.status_file = router.directory / "gone" / "router.json"
    router.status_file.parent.mkdir()
    router.start("--abandoned-seconds", "0.5", "--workers", workers)
    assert router.process is not None
    with psycopg.connect(router.dsn(postgres_18.names[0]), autocommit=True) as connection:
        shutil.rmtree(router.status_file.parent)
        eventually("it notices", lambda: "status_file_gone" in router.log_file.read_text())
        noticed = time.monotonic()
        while time.monotonic() - noticed < 1.5:  # longer than it would live without a client
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert router.process.wait(20) == 0
    assert [event["event"] for event in router.events()][-2:] == ["abandoned", "stopped"]


def test_a_status_file_that_was_deleted_is_written_again(router: RouterProcess):
    router.start()
    before = router.status()
    shutil.rmtree(router.directory)
    router.directory.mkdir()
    after = eventually("it is back", lambda: router.status_file.exists() and router.status())
    assert (after["pid"], after["port"]) == (before["pid"], before["port"])
    assert router.process is not None
    second = RouterProcess(router.directory)
    second.status_file.rename(router.directory / "kept")
    with pytest.raises(AssertionError, match="another router writes"):
        second.start()
    (router.directory / "kept").rename(router.status_file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_can_run_it(postgres_18: Postgres, open_directory: Path):
    directory = open_directory / uuid4().hex
    directory.mkdir()
    router = RouterProcess(directory)
    router.routes(route_to(postgres_18))
    router.status_file = directory / "status" / "router.json"
    router.status_file.parent.mkdir()
    for path in (directory, router.routes_file):
        path.chmod(0o755)
    shutil.chown(router.status_file.parent, "nobody")
    router.start(prefix=tuple(run_as_server_user()))
    try:
        assert router.status_file.stat().st_uid != 0
        with psycopg.connect(router.dsn(postgres_18.names[0])) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        router.stop()


def test_its_log_is_one_json_object_per_line_without_what_clients_send(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(router.dsn(postgres_18.names[0], sslmode="disable", user="secret-user"))
    eventually("the refusal is logged", lambda: "client_refused" in router.log_file.read_text())
    lines = [json.loads(line) for line in router.log_file.read_text().splitlines()]
    assert all({"time", "level", "event"} <= line.keys() for line in lines)
    assert "secret-user" not in router.log_file.read_text()
