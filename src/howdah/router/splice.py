"""Copies bytes between a client and a server, both ways, until both sides have ended."""

from __future__ import annotations

import socket
from collections.abc import Callable
from select import EPOLLIN, EPOLLOUT

from howdah.domain.routes import Address
from howdah.router.poller import Poller

BUFFER = memoryview(bytearray(128 * 1024))
"""Bytes that move at once. One for all: what a slow reader leaves behind is copied to its ``Side``, and no more is
read for it until that has gone."""


class Side:
    """One of the two sockets, with what could not be written to it yet."""

    __slots__ = (
        "_events",
        "_poller",
        "_recv_into",
        "fd",
        "finishing",
        "moved",
        "open",
        "other",
        "pair",
        "send",
        "socket",
        "unsent",
    )

    def __init__(self, sock: socket.socket, poller: Poller, pair: Pair) -> None:
        self.socket = sock
        self.fd = sock.fileno()
        self.pair = pair
        self.other: Side = self
        self.unsent: memoryview | None = None
        self.moved = 0
        """Bytes that have come from here."""
        self.open = True
        """False when it has said that it sends nothing more."""
        self.finishing = False
        """The other side has ended: end the writing here when ``unsent`` has gone."""
        self._poller = poller
        self._events = 0
        self._recv_into = sock.recv_into
        self.send = sock.send

    def ready(self, events: int) -> None:
        """Called by the poller. It tries what it may: events can be stale when a socket's number was used again."""
        try:
            if self.unsent is not None:
                self._flush(self.unsent)
            if self.open and self.other.unsent is None and events != EPOLLOUT:
                self._copy()
        except OSError:
            self.pair.close()

    def _copy(self) -> None:
        try:
            count = self._recv_into(BUFFER)
        except BlockingIOError:
            return
        other = self.other
        if not count:
            self.open = False
            other.finishing = True
            other.finish()
            self.listen()
            return
        self.moved += count
        try:
            sent = other.send(BUFFER[:count])
        except BlockingIOError:
            sent = 0
        except OSError:
            other.deafen()
            return
        if sent < count:
            other.unsent = memoryview(bytes(BUFFER[sent:count]))
            self.listen()
            other.listen()

    def _flush(self, unsent: memoryview) -> None:
        try:
            rest = unsent[self.send(unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.deafen()
            return
        self.unsent = rest or None
        if self.unsent is None:
            self.finish()
            self.listen()
            self.other.listen()

    def finish(self) -> None:
        """Passes the other side's end on, when all that it sent has been."""
        if self.finishing and self.unsent is None:
            if self.other.finishing and self.other.unsent is None:
                self.pair.close()
            else:
                self.socket.shutdown(socket.SHUT_WR)

    def deafen(self) -> None:
        """Nothing can be written here any more. What it said last may be unread still, and is often the reason."""
        self.unsent = None
        self.finishing = True
        self.other.open = False
        if not self.open:
            self.pair.close()
        self.other.listen()
        self.listen()

    def listen(self) -> None:
        """Tells the poller what this side waits for now."""
        if self.pair.closed:
            return
        events = EPOLLIN if self.open and self.other.unsent is None else 0
        if self.unsent is not None:
            events |= EPOLLOUT
        if events != self._events:
            self._events = events
            self._poller.watch(self.fd, events, self.ready)


class Pair:
    """A routed connection. ``address``: the client's; ``service``, ``server_address``: the key of its route, and which
    of its servers it has. ``ended`` is called once, when both sockets are closed."""

    __slots__ = ("address", "client", "closed", "ended", "poller", "server", "server_address", "service")

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        *,
        address: str,
        service: str,
        server_address: Address,
        poller: Poller,
        ended: Callable[[Pair], None],
    ) -> None:
        self.address = address
        self.service = service
        self.server_address = server_address
        self.poller = poller
        self.ended = ended
        self.closed = False
        self.client, self.server = Side(client, poller, self), Side(server, poller, self)
        self.client.other, self.server.other = self.server, self.client

    def start(self) -> None:
        self.client.listen()
        self.server.listen()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        for side in (self.client, self.server):
            self.poller.forget(side.fd)
            side.socket.close()
        self.ended(self)
