"""Clients that mean harm, or behave as if: others notice nothing, and nothing grows without bounds."""

from __future__ import annotations

import socket
import threading

import psycopg
import pytest
from fixtures.server import eventually

from howdah.router.startup import SSL_REQUEST
from router.raw_client import dial, read_to_end, startup
from router.router_process import RouterProcess, route_to
from router.test_cancelling import asleep, is_sleeping
from router.tls_postgres import Postgres

CANCEL = 80877102


def test_silent_clients_make_room_for_others_the_oldest_first(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start("--max-connections", "6", "--handshake-seconds", "12")
    silent: list[socket.socket] = []
    for _ in range(4):
        silent.append(dial(router.port))
        silent[-1].sendall(SSL_REQUEST)
        assert silent[-1].recv(1) == b"S"
    dsn = router.dsn(postgres_18.names[0])
    with psycopg.connect(dsn) as first, psycopg.connect(dsn) as second:
        with dial(router.port) as too_early:  # nobody has been silent for a second yet
            too_early.sendall(SSL_REQUEST)
            assert b"too many clients" in read_to_end(too_early)

        def connects() -> psycopg.Connection | None:
            try:
                return psycopg.connect(dsn)
            except psycopg.OperationalError:
                return None

        with eventually("there is room", connects) as third:
            assert read_to_end(silent[0]) == b""
            for sock in silent[1:]:
                sock.setblocking(False)
                with pytest.raises(BlockingIOError):
                    sock.recv(1)
            for connection in (first, second, third):
                assert connection.execute("SELECT 1").fetchone() == (1,)
    for sock in silent:
        sock.close()


def test_a_flood_of_wrong_cancel_requests_cancels_nothing_and_delays_nobody(
    router: RouterProcess, postgres_18: Postgres
):
    router.routes(route_to(postgres_18))
    router.start()
    dsn = router.dsn(postgres_18.names[0])
    with psycopg.connect(dsn, autocommit=True) as victim, psycopg.connect(dsn, autocommit=True) as other:
        before = router.open_files()
        pid = victim.info.backend_pid
        outcome, thread = asleep(victim)
        eventually("it sleeps", lambda: is_sleeping(other, pid))
        flood = [dial(router.port) for _ in range(200)]
        for number, sock in enumerate(flood):
            key = (b"no" + bytes(2), bytes(32), bytes(256))[number % 3]
            sock.sendall(startup(CANCEL, (pid if number % 2 else number).to_bytes(4) + key))
        assert [other.execute("SELECT %s::int", (number,)).fetchone() for number in range(50)] == [
            (number,) for number in range(50)
        ]
        assert router.open_files() < before + len(flood) + 20, "servers are dialled without a bound"
        for sock in flood:
            assert read_to_end(sock) == b""
            sock.close()
        assert outcome == []
        assert is_sleeping(other, pid)
        victim.pgconn.get_cancel().cancel()
        thread.join(20)
        assert outcome == ["QueryCanceled"]
        eventually("no file is left open", lambda: router.open_files() <= before)


def test_many_slow_readers_take_bounded_memory_and_delay_nobody(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    dsn = router.dsn(postgres_18.names[0])
    slow = [psycopg.connect(dsn, autocommit=True) for _ in range(20)]
    with psycopg.connect(dsn, autocommit=True) as other:
        before = router.rss()
        for connection in slow:
            connection.pgconn.send_query(b"SELECT repeat('x', 1000000) FROM generate_series(1, 100)")
            connection.pgconn.flush()
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"
        eventually("all servers wait", lambda: other.execute(blocked).fetchone() == (len(slow),))
        assert router.rss() - before < len(slow) * 128 * 1024 + 4 * 1024 * 1024
        assert [other.execute("SELECT repeat('y', %s)", (size,)).fetchone() for size in (1, 100_000)] == [
            ("y",),
            ("y" * 100_000,),
        ]
        assert sum(len(value) for (value,) in other.execute("SELECT repeat('z', 100000) FROM generate_series(1, 50)"))
        threads = [threading.Thread(target=connection.close) for connection in slow]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        eventually("the servers have ended", lambda: other.execute(blocked).fetchone() == (0,))
