from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from select import EPOLLIN

import pytest

from howdah.router.poller import Poller
from howdah.router.splice import Pair


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname(), timeout=10)
        far, _ = listener.accept()
    far.setblocking(False)
    return near, far


@dataclass
class Spliced:
    """A pair and the outer ends of its two connections."""

    client: socket.socket
    server: socket.socket
    pair: Pair
    poller: Poller
    ended: list[Pair]

    def until(self, moment: str) -> None:
        """Lets the poller work until the pair has ended."""
        for _ in range(1000):
            if self.ended:
                return
            self.poller.wait(0.01)
        pytest.fail(f"not within 10 s: {moment}")


@pytest.fixture
def spliced() -> Iterator[Spliced]:
    (client, client_side), (server, server_side) = connected(), connected()
    poller, ended = Poller(), []
    pair = Pair(
        client_side,
        server_side,
        address="loopback",
        service="s",
        server_address=("127.0.0.1", 1),
        poller=poller,
        ended=ended.append,
    )
    pair.start()
    yield Spliced(client, server, pair, poller, ended)
    pair.close()
    for sock in (client, server):
        sock.close()
    poller.close()


def test_the_last_words_of_a_server_reach_a_client_that_was_still_talking(spliced: Spliced):
    spliced.client.sendall(b"a query that the server never reads")
    spliced.pair.client.ready(EPOLLIN)
    spliced.server.sendall(b"terminating connection")
    spliced.server.close()  # with unread bytes: a reset
    spliced.client.sendall(b"another one")
    spliced.pair.client.ready(EPOLLIN)  # finds that nothing can be written any more, before the server's side is read
    spliced.until("the pair ends")
    assert spliced.client.recv(100) == b"terminating connection"
    assert spliced.client.recv(100) == b""


def test_both_ends_end_the_pair_once(spliced: Spliced):
    spliced.client.shutdown(socket.SHUT_WR)
    for _ in range(3):
        spliced.poller.wait(0.01)
    assert spliced.server.recv(10) == b""
    assert spliced.ended == []
    spliced.server.sendall(b"bye")
    spliced.server.close()
    spliced.until("the pair ends")
    assert spliced.client.recv(10) == b"bye"
    assert spliced.ended == [spliced.pair]


def test_an_event_of_an_earlier_socket_of_the_same_number_changes_nothing(spliced: Spliced):
    for side in (spliced.pair.client, spliced.pair.server):
        for events in range(32):
            side.ready(events)
    spliced.client.sendall(b"hello")
    spliced.pair.client.ready(EPOLLIN)
    assert spliced.server.recv(10) == b"hello"
