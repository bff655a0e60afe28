"""Several processes behind one port: clients notice nothing of them."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter

import psycopg
import pytest
from fixtures.server import alive, eventually

from howdah.domain.routes import Route, RouteState
from howdah.router.startup import SSL_REQUEST
from router.raw_client import dial, read_to_end
from router.renewing import renew
from router.router_process import RouterProcess, route_to
from router.test_cancelling import asleep, is_sleeping
from router.tls_postgres import Postgres


def connect(router: RouterProcess, server: Postgres, count: int) -> list[psycopg.Connection]:
    return [psycopg.connect(router.dsn(server.names[0]), autocommit=True) for _ in range(count)]


def clients(worker: int) -> int:
    """How many are connected through it. It has three sockets of its own, a listener among them, once it has a client;
    before that perhaps others that it is about to close."""
    directory = f"/proc/{worker}/fd"
    return (sum(os.readlink(f"{directory}/{name}").startswith("socket:") for name in os.listdir(directory)) - 3) // 2


def works(connection: psycopg.Connection) -> bool:
    try:
        return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def close(connections: list[psycopg.Connection]) -> None:
    for connection in connections:
        connection.close()


def test_clients_are_spread_over_them(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start("--workers", "3")
    workers = router.workers(3)
    connections = connect(router, postgres_18, 40)
    counts = [clients(worker) for worker in workers]
    assert sum(counts) == len(connections)
    assert min(counts) > 0, "a worker has nobody"
    assert all(works(connection) for connection in connections)
    close(connections)


def test_a_cancel_request_reaches_a_session_whichever_worker_has_it(
    router: RouterProcess, postgres_17: Postgres, postgres_18: Postgres
):
    router.routes(route_to(postgres_17), route_to(postgres_18))
    router.start("--workers", "2")
    connections = [*connect(router, postgres_18, 6), *connect(router, postgres_17, 6)]
    running = [(connection, *asleep(connection)) for connection in connections]
    for number, (connection, outcome, thread) in enumerate(running):
        with psycopg.connect(router.dsn((postgres_18 if number < 6 else postgres_17).names[0])) as watcher:
            pid = connection.info.backend_pid
            eventually("it sleeps", lambda watcher=watcher, pid=pid: is_sleeping(watcher, pid))
        connection.pgconn.get_cancel().cancel()
        thread.join(10)
        assert outcome == ["QueryCanceled"]
        assert [others for _, others, _ in running[number + 1 :]] == [[]] * (len(running) - number - 1)
    close(connections)


@pytest.mark.fault(
    what="One of several processes of the router is killed",
    then="Clients of the others notice nothing, new clients wait a moment at most, and it is started again",
)
def test_the_others_go_on_when_one_is_killed_and_it_comes_back(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start("--workers", "2", "--max-connections", "20")
    connections = connect(router, postgres_18, 16)
    killed, survivor = router.workers(2)
    kept = clients(survivor)
    os.kill(killed, signal.SIGKILL)
    eventually("another one has come", lambda: killed not in router.workers(2))
    assert sum(works(connection) for connection in connections) == kept
    close(connections)
    fresh = eventually("the places of those that were lost are free", lambda: all_connected(router, postgres_18, 20))
    assert all(works(connection) for connection in fresh)
    close(fresh)
    assert router.stop() == 0
    assert not alive(survivor)


def all_connected(router: RouterProcess, server: Postgres, count: int) -> list[psycopg.Connection]:
    """That many connections, none when there are not so many to be had."""
    made: list[psycopg.Connection] = []
    try:
        for _ in range(count):
            made += connect(router, server, 1)
    except psycopg.OperationalError:
        close(made)
        return []
    return made


def test_they_count_the_connections_of_a_server_together(
    router: RouterProcess, postgres_17: Postgres, postgres_18: Postgres
):
    servers = tuple(("127.0.0.1", server.port) for server in (postgres_17, postgres_18))
    router.routes(Route("both", ("both.localhost",), servers, RouteState.OPEN))
    router.start("--workers", "2")
    connections = [psycopg.connect(router.dsn("both.localhost")) for _ in range(12)]
    assert Counter(connection.info.server_version // 10_000 for connection in connections) == {17: 6, 18: 6}
    close(connections)


def test_the_limit_of_connections_is_one_for_all(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start("--workers", "3", "--max-connections", "6")
    connections = connect(router, postgres_18, 6)
    for _ in range(6):
        with dial(router.port) as one_too_many:
            one_too_many.sendall(SSL_REQUEST)
            assert b"sorry, too many clients already" in read_to_end(one_too_many)
    close(connections)


def test_a_connection_that_is_misrouted_is_closed_by_whichever_worker_has_it(
    router: RouterProcess, postgres_17: Postgres, postgres_18: Postgres
):
    router.routes(route_to(postgres_17), route_to(postgres_18))
    router.start("--workers", "2")
    going, staying = connect(router, postgres_17, 8), connect(router, postgres_18, 8)
    router.routes(route_to(postgres_18))
    eventually("all are closed", lambda: not any(works(connection) for connection in going))
    assert all(works(connection) for connection in staying)
    close([*going, *staying])


def test_connections_go_on_while_the_number_of_workers_changes(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    connections = connect(router, postgres_18, 10)
    backends = [connection.info.backend_pid for connection in connections]
    rows, read = 100_000, 0
    with (
        psycopg.connect(router.dsn(postgres_18.names[0])) as busy,
        busy.cursor().copy(f"COPY (SELECT repeat('x', 200) FROM generate_series(1, {rows})) TO STDOUT") as copy,
    ):
        for workers in (3, 2, 2, 1, 2):
            for _ in range(1000):
                read += bytes(copy.read()).count(b"\n")
            leave_command(router, workers)
            renew(router)
            if workers > 1:
                router.workers(workers)
            assert [one.execute("SELECT pg_backend_pid()").fetchone() for one in connections] == [
                (pid,) for pid in backends
            ]
            more = connect(router, postgres_18, 4)
            close(more)
        assert read + sum(bytes(data).count(b"\n") for data in copy) == rows
    outcome, thread = asleep(connections[0])
    watcher = connections[1]
    eventually("it sleeps", lambda: is_sleeping(watcher, backends[0]))
    connections[0].pgconn.get_cancel().cancel()
    thread.join(10)
    assert outcome == ["QueryCanceled"]
    close(connections)


def leave_command(router: RouterProcess, workers: int) -> None:
    command = [sys.executable, "-m", "howdah.router", "--routes", str(router.routes_file), "--port", "0"]
    command += ["--address", "127.0.0.1", "--status-file", str(router.status_file), "--workers", str(workers)]
    router.status_file.with_name(f"{router.status_file.name}.next").write_text(json.dumps(command))


def test_new_connections_work_while_it_is_renewed(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start("--workers", "2")
    done, made, failed = threading.Event(), [0], []

    def connect_again_and_again() -> None:
        while not done.is_set():
            try:
                psycopg.connect(router.dsn(postgres_18.names[0])).close()
                made[0] += 1
            except psycopg.Error as error:
                failed.append(error)

    client = threading.Thread(target=connect_again_and_again)
    client.start()
    for workers in (2, 3, 1, 2):
        before = made[0]
        leave_command(router, workers)
        renew(router)
        eventually("somebody has connected", lambda before=before: made[0] > before or failed)
    done.set()
    client.join()
    assert not failed


def test_a_program_that_cannot_be_executed_changes_nothing(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start("--workers", "2")
    connections = connect(router, postgres_18, 6)
    router.status_file.with_name(f"{router.status_file.name}.next").write_text('["/nowhere/python"]')
    assert router.process is not None
    router.process.send_signal(signal.SIGHUP)
    eventually("it says why", lambda: "cannot_be_renewed" in router.log_file.read_text())
    assert all(works(connection) for connection in connections)
    close(connections)
    close(connect(router, postgres_18, 6))


@pytest.mark.long
def test_a_worker_that_does_not_hand_over_is_killed_and_the_rest_is_renewed(
    router: RouterProcess, postgres_18: Postgres
):
    router.routes(route_to(postgres_18))
    router.start("--workers", "2")
    connections = connect(router, postgres_18, 16)
    stuck, other = router.workers(2)
    kept = clients(other)
    os.kill(stuck, signal.SIGSTOP)
    renew(router)
    assert not alive(stuck)
    assert sum(works(connection) for connection in connections) == kept
    close(connections)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_they_all_end_with_the_first(router: RouterProcess, postgres_18: Postgres, how: signal.Signals):
    router.routes(route_to(postgres_18))
    router.start("--workers", "2")
    connections = connect(router, postgres_18, 6)
    workers = router.workers(2)
    assert router.stop(how) == (0 if how is signal.SIGTERM else -signal.SIGKILL)
    eventually("they have ended", lambda: not any(alive(pid) for pid in workers))
    assert not any(works(connection) for connection in connections)
    router.start("--workers", "2", "--port-search", "0")
    close(connect(router, postgres_18, 2))


def test_it_leaks_no_file_when_renewed(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start("--workers", "2")
    connections = connect(router, postgres_18, 4)
    renew(router)

    def opened() -> int:
        return router.open_files() + sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in router.workers(2))

    assert all(works(connection) for connection in connections)
    before = opened()
    for _ in range(3):
        renew(router)
    eventually("no more files are open than before", lambda: opened() <= before)
    close(connections)


def test_two_routers_do_not_share_a_port(
    router: RouterProcess, postgres_18: Postgres, tmp_path_factory: pytest.TempPathFactory
):
    router.routes(route_to(postgres_18))
    router.start("--workers", "2")
    another = RouterProcess(tmp_path_factory.mktemp("another"))
    another.port = router.port
    another.start("--workers", "2")
    try:
        assert another.port != router.port
    finally:
        another.stop()
