"""The router with thousands of connections. What they cost is printed: `pytest -m long -rP tests/scale`."""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from fixtures.server import eventually
from router.raw_client import client_hello, dial
from router.renewing import renew
from router.router_process import RouterProcess, route_to
from router.tls_postgres import Postgres, programs

from howdah.domain.routes import Route, RouteState

IDLE, BUSY, QUERIES = 5_000, 1_000, 20
NAME = "echo.localhost"

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@contextmanager
def echo() -> Iterator[socket.socket]:
    """A server that says back what it hears: 5,000 real ones are more than a machine for tests bears, and the router
    reads no more of what comes after a ClientHello than this does."""
    selector, done = selectors.DefaultSelector(), threading.Event()
    opened: list[socket.socket] = []

    def serve() -> None:
        while not done.is_set():
            for key, _ in selector.select(0.1):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is listener:
                    accepted, _ = listener.accept()
                    opened.append(accepted)
                    selector.register(accepted, selectors.EVENT_READ)
                elif data := sock.recv(65536):
                    sock.sendall(data)
                else:
                    selector.unregister(sock)
                    sock.close()

    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        selector.register(listener, selectors.EVENT_READ)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener
        finally:
            done.set()
            thread.join()
            for sock in opened:
                sock.close()


@pytest.fixture(scope="module")
def large_postgres(open_directory: Path) -> Iterator[Postgres]:
    settings = {"max_connections": str(BUSY + 20)}
    server = Postgres(programs("18"), open_directory / "large", ("large.localhost",), settings=settings)
    server.create()
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("workers", [1, 2])
def test_5000_idle_connections_and_1000_busy_ones_at_once(
    router: RouterProcess, large_postgres: Postgres, many_files: int, workers: int
):
    needed = 2 * (IDLE + BUSY) + 500
    if many_files < needed:
        pytest.skip(f"needs {needed} open files, {many_files} are allowed")
    with echo() as server:
        router.routes(Route("echo", (NAME,), (server.getsockname(),), RouteState.OPEN), route_to(large_postgres))
        router.start("--workers", str(workers))
        pids = router.workers(workers) if workers > 1 else []
        hello = client_hello(NAME)
        warm = speak(dial(router.port), hello)
        empty = router.rss(*pids)
        clients = [speak(dial(router.port), hello) for _ in range(IDLE)]
        idle = router.rss(*pids) - empty
        asyncio.run(keep_busy(router.dsn(large_postgres.names[0], connect_timeout="300")))
        busy = router.rss(*pids) - empty - idle
        started = time.monotonic()
        renew(router)
        speak(dial(router.port), hello).close()
        renewed = time.monotonic() - started
        for client in clients:
            client.sendall(b"still there?")
        for client in clients:
            assert client.recv(100) == b"still there?"
        print(
            f"{workers} workers: {empty / 1e6:.0f} MB with nobody,"
            f" {idle / IDLE:.0f} bytes for an idle connection, {busy / BUSY:.0f} for a busy one,"
            f" {renewed:.2f} s from the request to be renewed until a new client was connected"
        )
        assert idle / IDLE < 4 * 1024
        assert busy / BUSY < 16 * 1024
        for client in (*clients, warm):
            client.close()
        eventually("its files are closed", lambda: router.open_files() < 100)


def speak(client: socket.socket, hello: bytes) -> socket.socket:
    """A client that is connected to the server."""
    client.sendall(hello)
    heard = b""
    while len(heard) < len(hello):
        heard += client.recv(65536)
    assert heard == hello
    return client


async def keep_busy(dsn: str) -> None:
    few = asyncio.Semaphore(20)
    all_connected = asyncio.Barrier(BUSY)

    async def client(number: int) -> None:
        async with few:
            connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        async with connection:
            await all_connected.wait()
            for turn in range(QUERIES):
                size = 1 + (number * QUERIES + turn) % 20_000
                row = await (await connection.execute("SELECT %s, repeat('x', %s)", (number, size))).fetchone()
                assert row == (number, "x" * size)

    async with asyncio.TaskGroup() as group:
        for number in range(BUSY):
            group.create_task(client(number))
