"""Clients wait while their server is away, within bounds; connections to what has gone are closed."""

from __future__ import annotations

import socket
import threading
import time

import psycopg
import pytest
from fixtures.server import eventually

from howdah.domain.routes import Route, RouteState
from howdah.router.startup import SSL_REQUEST
from router.raw_client import ask_for_tls, client_hello, read_to_end
from router.router_process import RouterProcess, route_to
from router.tls_postgres import Postgres, free_port

INTERNAL_ERROR = bytes.fromhex("15030300020250")


class Connecting(threading.Thread):
    """A client that connects, and what came of it."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.dsn = dsn
        self.outcome = ""
        self.start()

    def run(self) -> None:
        try:
            with psycopg.connect(self.dsn) as connection:
                self.outcome = f"connected to {connection.info.server_version // 10000}"
        except psycopg.Error as error:
            self.outcome = str(error)

    def still_waits(self) -> bool:
        self.join(0.4)
        return self.is_alive()

    def result(self) -> str:
        self.join(10)
        return self.outcome


def test_a_client_of_a_held_route_waits_until_it_opens(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18, state=RouteState.HELD))
    router.start()
    client = Connecting(router.dsn(postgres_18.names[0]))
    assert client.still_waits()
    router.routes(route_to(postgres_18))
    assert client.result() == "connected to 18"


def test_a_client_of_a_held_route_goes_where_it_has_moved(
    router: RouterProcess, postgres_17: Postgres, postgres_18: Postgres
):
    names = ("moving.localhost",)
    router.routes(Route("s", names, (("127.0.0.1", postgres_17.port),), RouteState.HELD))
    router.start()
    client = Connecting(router.dsn(names[0]))
    assert client.still_waits()
    router.routes(Route("s", names, (("127.0.0.1", postgres_18.port),), RouteState.OPEN))
    assert client.result() == "connected to 18"


def test_a_client_of_a_held_route_learns_that_it_has_gone(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18, state=RouteState.HELD))
    router.start()
    client = Connecting(router.dsn(postgres_18.names[0]))
    assert client.still_waits()
    router.routes()
    assert "unrecognized name" in client.result()


def test_a_client_waits_no_longer_than_allowed(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18, state=RouteState.HELD))
    router.start("--hold-seconds", "0.5")
    with ask_for_tls(router.port) as sock:
        started = time.monotonic()
        sock.sendall(client_hello(postgres_18.names[0]))
        assert read_to_end(sock) == INTERNAL_ERROR
    assert 0.4 < time.monotonic() - started < 5


def test_a_client_that_does_not_wait_any_longer_is_forgotten(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18, state=RouteState.HELD))
    router.start()
    before = router.open_files()
    for _ in range(20):
        with ask_for_tls(router.port) as sock:
            sock.sendall(client_hello(postgres_18.names[0]))
    eventually("their sockets are closed", lambda: router.open_files() == before, within=5)


def test_a_client_waits_for_a_server_that_refuses_connections(router: RouterProcess):
    port, hello = free_port(), client_hello("late.localhost")
    router.routes(Route("s", ("late.localhost",), (("127.0.0.1", port),), RouteState.OPEN))
    router.start()
    with ask_for_tls(router.port) as sock:
        sock.sendall(hello)
        eventually("the router has been refused", lambda: "dial_failed" in router.log_file.read_text())
        with socket.create_server(("127.0.0.1", port)) as late:
            server, _ = late.accept()
            with server:
                assert server.recv(8) == SSL_REQUEST
                server.sendall(b"S")
                assert server.recv(len(hello), socket.MSG_WAITALL) == hello
                server.sendall(b"its own handshake")
                assert sock.recv(100) == b"its own handshake"


def test_a_client_survives_a_crash_of_its_server_before_it_is_connected(
    router: RouterProcess, stopped_postgres: Postgres
):
    """As the control plane does it: a dead server's route is held before the server is started again, because Postgres
    takes connections before it is ready for them."""
    server = stopped_postgres
    router.routes(route_to(server))
    router.start()
    client = Connecting(router.dsn(server.names[0]))
    assert client.still_waits()
    router.routes(route_to(server, state=RouteState.HELD))
    server.start()
    router.routes(route_to(server))
    assert client.result() == "connected to 18"


def test_a_name_works_from_the_moment_it_is_in_the_table(router: RouterProcess, postgres_18: Postgres):
    router.start()
    for turn in range(20):
        name = f"fresh-{turn}.localhost"
        router.routes(Route("s", (name,), (("127.0.0.1", postgres_18.port),), RouteState.OPEN))
        with psycopg.connect(router.dsn(name)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def is_closed(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


@pytest.mark.parametrize("what", ["removed", "moved"])
def test_connections_of_a_route_that_is_gone_or_elsewhere_are_closed(
    router: RouterProcess, postgres_17: Postgres, postgres_18: Postgres, what: str
):
    router.routes(route_to(postgres_17), route_to(postgres_18, service="s"))
    router.start()
    with (
        psycopg.connect(router.dsn(postgres_17.names[0]), autocommit=True) as other,
        psycopg.connect(router.dsn(postgres_18.names[0]), autocommit=True) as connection,
    ):
        elsewhere = Route("s", postgres_18.names, (("127.0.0.1", free_port()),), RouteState.OPEN)
        router.routes(route_to(postgres_17), *([elsewhere] if what == "moved" else []))
        eventually("the connection is closed", lambda: is_closed(connection), within=1.5)
        assert not is_closed(other)


def test_connections_of_a_route_that_is_held_or_renamed_go_on(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18, service="s"))
    router.start()
    with psycopg.connect(router.dsn(postgres_18.names[0]), autocommit=True) as connection:
        router.routes(Route("s", ("new.localhost",), (("127.0.0.1", postgres_18.port),), RouteState.HELD))
        held = Connecting(router.dsn("new.localhost"))
        assert held.still_waits()  # so the router has read the table
        assert not is_closed(connection)
        router.routes(Route("s", ("new.localhost",), (("127.0.0.1", postgres_18.port),), RouteState.OPEN))
        assert held.result() == "connected to 18"


@pytest.mark.parametrize("damage", ["corrupt", "missing"])
def test_a_table_that_cannot_be_read_leaves_the_last_good_one_in_force(
    router: RouterProcess, postgres_18: Postgres, damage: str
):
    router.routes(route_to(postgres_18))
    router.start()
    with psycopg.connect(router.dsn(postgres_18.names[0]), autocommit=True) as connection:
        router.routes_file.unlink()
        if damage == "corrupt":
            router.routes_file.write_text('{"version": 1, "services": {"s": ')
        eventually("it is logged", lambda: "routes_unreadable" in router.log_file.read_text())
        assert Connecting(router.dsn(postgres_18.names[0])).result() == "connected to 18"
        assert not is_closed(connection)
    router.routes(route_to(postgres_18))
    assert Connecting(router.dsn(postgres_18.names[0])).result() == "connected to 18"
