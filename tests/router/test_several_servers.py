"""One name that several servers stand for: any that can be had will do, and none that has been taken away."""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import ExitStack

import psycopg
import pytest
from fixtures.server import eventually

from howdah.domain.routes import Address, Route, RouteState
from howdah.router.startup import SSL_REQUEST
from router.raw_client import ask_for_tls, client_hello
from router.router_process import RouterProcess, direct_dsn
from router.test_cancelling import asleep, is_sleeping
from router.test_renewal import renew
from router.test_waiting import Connecting, is_closed
from router.tls_postgres import Postgres, free_port

NAME = "several-ro.localhost"


def address(server: Postgres) -> Address:
    return "127.0.0.1", server.port


def several(*servers: Address, state: RouteState = RouteState.OPEN) -> Route:
    return Route("s-ro", (NAME,), servers, state)


def connect(router: RouterProcess) -> psycopg.Connection:
    return psycopg.connect(router.dsn(NAME), autocommit=True)


def major(connection: psycopg.Connection) -> int:
    return connection.info.server_version // 10000


def one_each(router: RouterProcess, stack: ExitStack) -> dict[int, psycopg.Connection]:
    """A connection to each of two servers, by version: the second one goes where the first has not."""
    return {major(connection): connection for connection in (stack.enter_context(connect(router)) for _ in range(2))}


def test_the_server_with_the_fewest_connections_is_taken(
    router: RouterProcess, postgres_17: Postgres, postgres_18: Postgres
):
    router.routes(several(address(postgres_17), address(postgres_18)))
    router.start()
    with ExitStack() as stack:
        made = [stack.enter_context(connect(router)) for _ in range(6)]
        assert Counter(major(connection) for connection in made) == {17: 3, 18: 3}
        ended = [connection for connection in made if major(connection) == 17]
        for connection in ended:
            backend = connection.info.backend_pid
            connection.close()
            eventually("its server has ended it", lambda backend=backend: not is_connected(postgres_17, backend))
        again = [stack.enter_context(connect(router)) for _ in ended]
        assert [major(connection) for connection in again] == [17, 17, 17]


def is_connected(server: Postgres, backend: int) -> bool:
    """Asked past the router, whose connections are what is counted."""
    with psycopg.connect(direct_dsn(server)) as connection:
        query = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
        return connection.execute(query, (backend,)).fetchone() is not None


def test_a_dead_server_is_passed_over(router: RouterProcess, postgres_18: Postgres):
    router.routes(several(("127.0.0.1", free_port()), address(postgres_18)))
    router.start("--hold-seconds", "0")  # nobody waits for one that is back
    with ExitStack() as stack:
        for _ in range(4):
            assert major(stack.enter_context(connect(router))) == 18
    assert "dial_failed" in router.log_file.read_text()


def test_a_server_that_does_not_answer_is_given_up_for_another_one(router: RouterProcess, postgres_18: Postgres):
    with socket.create_server(("127.0.0.1", 0)) as hung:
        router.routes(several(hung.getsockname(), address(postgres_18)))
        router.start()
        with connect(router) as first, connect(router) as second:
            assert [major(first), major(second)] == [18, 18]
        hung.setblocking(False)
        hung.accept()[0].close()


def test_a_client_waits_while_no_server_can_be_had(router: RouterProcess, stopped_postgres: Postgres):
    ports = free_port(), stopped_postgres.port
    router.routes(several(*(("127.0.0.1", port) for port in ports)))
    router.start()
    client = Connecting(router.dsn(NAME))

    def refused_ports() -> set[int]:
        return {event["port"] for event in router.events() if event["event"] == "dial_failed"}

    eventually("it was refused", refused_ports)
    router.routes(several(state=RouteState.HELD))
    assert client.still_waits()
    stopped_postgres.start()
    router.routes(several(("127.0.0.1", ports[0]), address(stopped_postgres)))
    assert client.result() == "connected to 18"


@pytest.mark.parametrize("renewed", [False, True])
def test_connections_to_a_server_that_is_taken_away_are_closed_and_others_go_on(
    router: RouterProcess, postgres_17: Postgres, postgres_18: Postgres, renewed: bool
):
    router.routes(several(address(postgres_17), address(postgres_18)))
    router.start()
    with ExitStack() as stack:
        connections = one_each(router, stack)
        if renewed:
            renew(router)
        router.routes(several(address(postgres_18)))
        eventually("the other one's connection is closed", lambda: is_closed(connections[17]))
        assert not is_closed(connections[18])
        router.routes(several(state=RouteState.HELD))
        eventually("so is the last one", lambda: is_closed(connections[18]))


def test_a_server_that_is_taken_away_while_it_is_dialled_gets_no_client(router: RouterProcess, postgres_18: Postgres):
    hello = client_hello(NAME)
    with socket.create_server(("127.0.0.1", 0)) as promoted:
        router.routes(several(promoted.getsockname()))
        router.start()
        with ask_for_tls(router.port) as client:
            client.sendall(hello)
            server, _ = promoted.accept()
            with server:
                assert server.recv(8) == SSL_REQUEST
                router.routes(several(address(postgres_18)))
                with connect(router) as another:  # so the router has read the table
                    assert major(another) == 18
                server.sendall(b"S")
                assert client.recv(1) == b"\x16", "Postgres' own handshake"


def test_a_cancel_request_reaches_the_server_that_has_the_session(
    router: RouterProcess, postgres_17: Postgres, postgres_18: Postgres
):
    router.routes(several(address(postgres_17), address(postgres_18)))
    router.start()
    with ExitStack() as stack:
        connections = one_each(router, stack)
        running = {version: asleep(connection) for version, connection in connections.items()}
        for version, server in ((17, postgres_17), (18, postgres_18)):
            with psycopg.connect(direct_dsn(server)) as watcher:
                backend = connections[version].info.backend_pid
                eventually("the query runs", lambda watcher=watcher, backend=backend: is_sleeping(watcher, backend))
        for version in (17, 18):
            outcome, thread = running.pop(version)
            connections[version].pgconn.get_cancel().cancel()
            thread.join(10)
            assert outcome == ["QueryCanceled"]
            assert [others for others, _ in running.values()] == [[] for _ in running]
