"""Peers whose machine is gone, or the way to it: no FIN, no reset, nothing."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from fixtures.server import eventually

from howdah.domain.routes import Route, RouteState
from router.distance import Distance
from router.raw_client import client_hello, read_to_end
from router.router_process import RouterProcess

HOW_LONG = 2


@pytest.fixture
def distance() -> Iterator[Distance]:
    if not (shutil.which("ip") and shutil.which("nft")):
        pytest.skip("needs iproute2 and nftables")
    try:
        made = Distance()
    except subprocess.CalledProcessError as refused:
        pytest.skip(f"no network namespace can be made: {refused.stderr.decode().strip()}")
    yield made
    made.remove()


def route(name: str, listener: socket.socket) -> Route:
    return Route(name, (f"{name}.localhost",), (listener.getsockname(),), RouteState.OPEN)


def connected(
    client: socket.socket, listener: socket.socket, router: tuple[str, int], name: str
) -> tuple[socket.socket, socket.socket]:
    """A routed connection: the client's end and the server's."""
    client.settimeout(20)
    client.connect(router)
    client.sendall(client_hello(f"{name}.localhost"))
    server, _ = listener.accept()
    server.settimeout(20)
    assert server.recv(65536)
    return client, server


@pytest.mark.fault(
    what="A client or a server vanishes without a word, idle or with something on its way to it",
    then="The router ends the other side's connection after 2 minutes; a peer that only reads nothing is waited for",
)
def test_their_connections_are_ended_and_those_of_slow_readers_are_not(router: RouterProcess, distance: Distance):
    with socket.create_server(("127.0.0.1", 0)) as near, distance.socket_there() as far:
        far.settimeout(20)
        far.bind((distance.there, 0))
        far.listen()
        router.routes(route("near", near), route("far", far))
        router.start("--peer-seconds", str(HOW_LONG), addresses=("127.0.0.1", distance.here))
        at_home, from_afar = ("127.0.0.1", router.port), (distance.here, router.port)
        idle_client, its_server = connected(distance.socket_there(), near, from_afar, "near")
        busy_client, its_busy_server = connected(distance.socket_there(), near, from_afar, "near")
        its_client, idle_server = connected(socket.socket(), far, at_home, "far")
        its_busy_client, busy_server = connected(socket.socket(), far, at_home, "far")
        reader, sender = connected(socket.socket(), near, at_home, "near")
        sender.setblocking(False)
        sent = fill(sender)
        distance.cut()
        its_busy_server.sendall(b"for a client that is not there")
        its_busy_client.sendall(b"for a server that is not there")
        for left in (its_server, its_busy_server, its_client, its_busy_client):
            assert read_to_end(left) == b""
        eventually("it is logged", lambda: "closed_vanished" in router.log_file.read_text())
        assert_still_reads(reader, sent)
        for sock in (idle_client, busy_client, idle_server, busy_server, reader, sender):
            sock.close()


def fill(sender: socket.socket) -> int:
    """Sends until nothing more is taken, and that for longer than a peer may be silent."""
    sent, last = 0, time.monotonic()
    while time.monotonic() - last < 1.5 * HOW_LONG:
        try:
            sent += sender.send(bytes(65536))
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.1)  # the silence that is tested
    return sent


def assert_still_reads(reader: socket.socket, sent: int) -> None:
    read = 0
    while read < sent:
        data = reader.recv(1 << 20)
        assert data, "the connection of a slow reader was ended"
        read += len(data)
