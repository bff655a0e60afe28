"""Bounded time, memory and numbers, whatever clients do."""

from __future__ import annotations

import resource
import socket
import threading
import time

import psycopg
import pytest
from fixtures.server import eventually

from howdah.domain.routes import Route, RouteState
from howdah.router.startup import SSL_REQUEST
from router.raw_client import ask_for_tls, client_hello, dial, read_to_end
from router.router_process import RouterProcess, route_to
from router.tls_postgres import Postgres


@pytest.mark.parametrize("said", [b"", SSL_REQUEST[:5], SSL_REQUEST])
def test_a_client_that_says_too_little_is_closed_in_time(router: RouterProcess, said: bytes):
    router.start("--handshake-seconds", "0.5")
    with dial(router.port) as sock:
        started = time.monotonic()
        sock.sendall(said)
        assert read_to_end(sock) == (b"S" if said == SSL_REQUEST else b"")
    assert 0.4 < time.monotonic() - started < 5


def drip(sock: socket.socket, data: bytes) -> None:
    for byte in data:
        sock.sendall(bytes([byte]))
        time.sleep(0.02)  # the slowness that is tested


def test_a_client_that_drips_is_closed_in_time(router: RouterProcess):
    router.start("--handshake-seconds", "0.6")
    with ask_for_tls(router.port) as sock:
        started = time.monotonic()
        with pytest.raises(OSError):
            drip(sock, client_hello("a" * 60 + ".localhost"))
    assert 0.4 < time.monotonic() - started < 5


def test_a_hello_without_end_is_refused(router: RouterProcess):
    router.start()
    endless = b"\x16\x03\x01\x40\x00" + b"\x01\x00\xff\xff" + bytes(16380)
    with ask_for_tls(router.port) as sock:
        sock.sendall(endless + (b"\x16\x03\x01\x40\x00" + bytes(16384)) * 5)
        assert read_to_end(sock) == bytes.fromhex("15030300020232")


def test_slow_clients_do_not_delay_others(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    slow = [dial(router.port) for _ in range(200)]
    for sock in slow:
        sock.sendall(SSL_REQUEST[:4])
    started = time.monotonic()
    with psycopg.connect(router.dsn(postgres_18.names[0])) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert time.monotonic() - started < 2
    for sock in slow:
        sock.close()


def test_a_client_too_many_is_told_so_and_room_is_made_by_leaving(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start("--max-connections", "2")
    dsn = router.dsn(postgres_18.names[0])
    with psycopg.connect(dsn), psycopg.connect(dsn):
        with dial(router.port) as sock:
            answer = read_to_end(sock)
        assert b"SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0" in answer

    def connects() -> bool:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            return False
        return True

    eventually("there is room again", connects, within=5)


def test_running_out_of_file_descriptors_pauses_accepting_and_ends_by_itself(
    router: RouterProcess, postgres_18: Postgres
):
    router.routes(route_to(postgres_18))
    router.start()
    assert router.process is not None
    room = router.open_files() + 10
    _, hard = resource.prlimit(router.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(router.process.pid, resource.RLIMIT_NOFILE, (room, hard))
    held = [dial(router.port) for _ in range(30)]
    eventually("it is logged", lambda: "cannot_accept" in router.log_file.read_text())
    before = router.cpu_seconds()
    time.sleep(1)  # measures what it uses in a second
    assert router.cpu_seconds() - before < 0.3
    for sock in held:
        sock.close()
    with psycopg.connect(router.dsn(postgres_18.names[0])) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_100_idle_connections_stay_and_cost_little(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    before = router.rss()
    connections = [psycopg.connect(router.dsn(postgres_18.names[0]), autocommit=True) for _ in range(100)]
    assert (router.rss() - before) / 100 < 32 * 1024
    used = router.cpu_seconds()
    time.sleep(2)  # measures what idling costs
    assert router.cpu_seconds() - used < 0.2
    assert all(connection.execute("SELECT 1").fetchone() == (1,) for connection in connections)
    for connection in connections:
        connection.close()


def test_a_slow_reader_holds_the_sender_back_and_gets_everything(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    rows, width = 200, 1_000_000
    with psycopg.connect(router.dsn(postgres_18.names[0])) as connection:
        before = router.rss()
        with connection.cursor().copy(
            f"COPY (SELECT repeat('x', {width}) FROM generate_series(1, {rows})) TO STDOUT"
        ) as copy:
            first = copy.read()
            eventually("the server waits for its client", lambda: waits_for_client(router, postgres_18))
            used = router.cpu_seconds()
            time.sleep(0.5)  # measures what waiting costs
            assert router.cpu_seconds() - used < 0.1
            assert router.rss() - before < 8 * 1024 * 1024
            assert len(first) + sum(len(data) for data in copy) == rows * (width + 1)
        assert router.rss() - before < 8 * 1024 * 1024


def waits_for_client(router: RouterProcess, server: Postgres) -> bool:
    with psycopg.connect(router.dsn(server.names[0])) as watcher:
        query = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite' AND query LIKE 'COPY%'"
        return watcher.execute(query).fetchone() is not None


def test_an_end_in_one_direction_leaves_the_other_open(router: RouterProcess):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        router.routes(Route("s", ("half.localhost",), (listener.getsockname(),), RouteState.OPEN))
        router.start()
        hello, bulk = client_hello("half.localhost"), bytes(range(256)) * 40_000
        with dial(router.port) as client:
            client.sendall(hello)
            server, _ = listener.accept()
            with server:
                client.sendall(b"the last of the client")
                client.shutdown(socket.SHUT_WR)
                assert read_to_end(server) == hello + b"the last of the client"
                sender = threading.Thread(target=lambda: (server.sendall(bulk), server.shutdown(socket.SHUT_WR)))
                sender.start()
                assert read_to_end(client) == bulk
                sender.join()
        with dial(router.port) as client:
            client.sendall(hello)
            server, _ = listener.accept()
            with server:
                server.sendall(bulk[:1000])
                server.shutdown(socket.SHUT_WR)
                assert read_to_end(client) == bulk[:1000]
                client.sendall(b"still here")
                client.shutdown(socket.SHUT_WR)
                assert read_to_end(server) == hello + b"still here"
    before = router.open_files()
    assert before < 20, "sockets are left"


def test_a_reset_of_one_side_ends_the_other(router: RouterProcess):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        router.routes(Route("s", ("reset.localhost",), (listener.getsockname(),), RouteState.OPEN))
        router.start()
        with dial(router.port) as client:
            client.sendall(client_hello("reset.localhost"))
            server, _ = listener.accept()
            with server:
                server.recv(65536)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
                assert read_to_end(server) == b""
