"""What a session waits for. Sessions are generators that yield a ``Wait`` and get the answer; only the loop blocks."""

from __future__ import annotations

import socket
from collections.abc import Generator
from dataclasses import dataclass
from enum import IntEnum
from select import EPOLLIN, EPOLLOUT

CHUNK = 16 * 1024


@dataclass(frozen=True, slots=True)
class Wait:
    """Until ``socket`` has one of ``events``, ``until`` is past (monotonic seconds), or, with ``table``, the route
    table may have changed."""

    socket: socket.socket
    events: int
    until: float
    table: bool = False


class Woken(IntEnum):
    """Why a session goes on: an event of its socket, the end of the time, a new route table."""

    EVENT = 0
    TIME = 1
    TABLE = 2


Waiting = Generator[Wait, Woken, None]


class Ended(ConnectionError):
    """The other side closed before it had said what was needed."""


def receive(sock: socket.socket, limit: int, until: float) -> Generator[Wait, Woken, bytes]:
    """The next 1 to ``limit`` bytes. Raises TimeoutError, Ended, OSError."""
    while True:
        try:
            data = sock.recv(limit)
        except BlockingIOError:
            yield from _ready(sock, EPOLLIN, until)
            continue
        if not data:
            raise Ended("the connection ended")
        return data


def send(sock: socket.socket, data: bytes, until: float) -> Waiting:
    """Sends all of ``data``. Raises TimeoutError, OSError."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[sock.send(rest) :]
        except BlockingIOError:
            yield from _ready(sock, EPOLLOUT, until)


def connect(sock: socket.socket, address: tuple[str, int], until: float) -> Waiting:
    """Connects ``sock``. Raises TimeoutError, OSError."""
    try:
        sock.connect(address)
        return
    except BlockingIOError:
        yield from _ready(sock, EPOLLOUT, until)
    if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(error, "cannot connect")


def linger(sock: socket.socket, until: float) -> Waiting:
    """Says that no more comes and reads until the other side has ended too: closing with unread bytes would reset the
    connection, and with it the answer that was just sent."""
    try:
        sock.shutdown(socket.SHUT_WR)
        while True:
            yield from receive(sock, CHUNK, until)
    except (TimeoutError, OSError):
        return


def _ready(sock: socket.socket, events: int, until: float) -> Waiting:
    # An answer in a batch of events may belong to an earlier socket of the same number: callers simply try again.
    if (yield Wait(sock, events, until)) is Woken.TIME:
        raise TimeoutError("it took too long")
