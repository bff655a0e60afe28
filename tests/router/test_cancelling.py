"""Cancel requests of both kinds reach the query that they are for and disturb nobody else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import psycopg
import pytest
from fixtures.server import eventually

from router.raw_client import dial, read_to_end, startup
from router.router_process import RouterProcess, route_to
from router.tls_postgres import Postgres


def sleeping(router: RouterProcess, server: Postgres) -> tuple[psycopg.Connection, list[str], threading.Thread]:
    """A connection in the middle of ``pg_sleep``, what came of it, and its thread."""
    connection = psycopg.connect(router.dsn(server.names[0]), autocommit=True)
    outcome, thread = asleep(connection)
    with psycopg.connect(router.dsn(server.names[0])) as watcher:
        eventually("the query runs", lambda: is_sleeping(watcher, connection.info.backend_pid))
    return connection, outcome, thread


def asleep(connection: psycopg.Connection) -> tuple[list[str], threading.Thread]:
    """Begins ``pg_sleep``: what came of it, and its thread."""
    outcome: list[str] = []

    def sleep() -> None:
        try:
            connection.execute("SELECT pg_sleep(60)")
            outcome.append("slept")
        except psycopg.Error as error:
            outcome.append(type(error).__name__)

    thread = threading.Thread(target=sleep)
    thread.start()
    return outcome, thread


def is_sleeping(watcher: psycopg.Connection, pid: int) -> bool:
    row = watcher.execute("SELECT wait_event FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
    watcher.rollback()
    return row == ("PgSleep",)


@pytest.mark.parametrize("kind", ["plaintext", "encrypted"])
def test_a_cancel_request_ends_its_query_and_no_other(
    router: RouterProcess, postgres_17: Postgres, postgres_18: Postgres, kind: str
):
    router.routes(route_to(postgres_17), route_to(postgres_18))
    router.start()
    running = [sleeping(router, server) for server in (postgres_17, postgres_18, postgres_18)]
    try:
        connection, outcome, thread = running[1]
        if kind == "plaintext":
            connection.pgconn.get_cancel().cancel()
        else:
            connection.cancel_safe(timeout=20)
        thread.join(10)
        assert outcome == ["QueryCanceled"]
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert [others for _, others, _ in (running[0], running[2])] == [[], []]
    finally:
        for connection, _, _ in running:
            connection.pgconn.get_cancel().cancel()
        for connection, _, thread in running:
            thread.join(10)
            connection.close()


@pytest.mark.parametrize("program", ["system", "bundled"])
def test_ctrl_c_in_psql_cancels_the_query_and_psql_goes_on(
    router: RouterProcess, postgres_17: Postgres, postgres_18: Postgres, program: str, tmp_path: Path
):
    router.routes(route_to(postgres_17), route_to(postgres_18))
    router.start()
    found = shutil.which("psql") if program == "system" else postgres_18.programs.program("psql")
    if found is None:
        pytest.skip("no psql on this system")
    env = dict(os.environ) if program == "system" else postgres_18.programs.environment
    bystander, undisturbed, thread = sleeping(router, postgres_17)
    script = "SET application_name = 'ctrl-c';\nSELECT pg_sleep(60);\nSELECT 'went on';\n"
    options = {"max_protocol_version": "3.2"} if program == "bundled" else {}
    psql = subprocess.Popen(
        [found, "-XAtq", router.dsn(postgres_18.names[0], **options)],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert psql.stdin is not None
    psql.stdin.write(script)
    psql.stdin.flush()
    with psycopg.connect(router.dsn(postgres_18.names[0]), autocommit=True) as watcher:
        query = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'ctrl-c' AND wait_event = 'PgSleep'"
        eventually("psql's query runs", lambda: watcher.execute(query).fetchone())
    psql.send_signal(signal.SIGINT)
    output, errors = psql.communicate(timeout=20)
    # Without a terminal psql ends at Ctrl-C after having cancelled; the server's answer is what counts.
    assert "canceling statement due to user request" in errors, (output, errors)
    assert undisturbed == []
    bystander.pgconn.get_cancel().cancel()
    thread.join(10)
    bystander.close()


def test_a_cancel_request_for_nothing_disturbs_nobody(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    with psycopg.connect(router.dsn(postgres_18.names[0])) as connection:
        for key in (b"wron", bytes(256)):
            with dial(router.port) as sock:
                sock.sendall(startup(80877102, connection.info.backend_pid.to_bytes(4) + key))
                assert read_to_end(sock) == b""
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_cancel_request_of_a_client_without_connections_reaches_no_server(
    router: RouterProcess, postgres_18: Postgres
):
    router.routes(route_to(postgres_18))
    router.start()
    before = postgres_18.log().count("cancel request")
    with dial(router.port) as sock:
        sock.sendall(startup(80877102, (1).to_bytes(4) + b"none"))
        assert read_to_end(sock) == b""
    assert postgres_18.log().count("cancel request") == before
