"""TLS handshakes. One that is under way is a connection too: it is counted with them, has a bounded time, and is among
the first to be ended when there are too many. uvicorn and asyncio say nothing of it before it is over."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

import structlog

from howdah.api import protocol
from howdah.api.protocol import ApiProtocol

ACCEPT_AGAIN_SECONDS = 0.1
"""After an error of the system, which has no file for another connection perhaps."""

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Handshake:
    """``room``: the class of its server's connections."""

    def __init__(self, connection: socket.socket, room: type[ApiProtocol]) -> None:
        self._connection = connection
        self._room = room

    def begin(self, connections: int) -> None:
        """``connections``: how many there are beside those in a handshake."""
        self._room.waiting[self] = None
        self._room.handshakes.add(self)
        self._room.make_room(connections)

    def over(self) -> None:
        self._room.waiting.pop(self, None)
        self._room.handshakes.discard(self)

    def give_up(self) -> None:
        self.over()
        with contextlib.suppress(OSError):  # Its client was faster.
            self._connection.shutdown(socket.SHUT_RDWR)


class SecureListener:
    """Accepts on ``listener`` and hands over what has shaken hands to a protocol that ``make`` makes. Closed as
    asyncio's servers are."""

    def __init__(self, listener: socket.socket, context: ssl.SSLContext, make: Callable[[], ApiProtocol]) -> None:
        self._listener = listener
        self._context = context
        self._make = make
        self._shaking: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept(), name="accept")

    def close(self) -> None:
        for task in (self._accepting, *self._shaking):
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.gather(self._accepting, *self._shaking, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                log.warning("a connection cannot be accepted", reason=str(error))
                await asyncio.sleep(ACCEPT_AGAIN_SECONDS)
                continue
            task = asyncio.create_task(self._shake_hands(connection))
            self._shaking.add(task)
            task.add_done_callback(self._shaking.discard)

    async def _shake_hands(self, connection: socket.socket) -> None:
        made = self._make()
        made.handshake = handshake = Handshake(connection, type(made))
        handshake.begin(len(made.connections))
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: made, connection, ssl=self._context, ssl_handshake_timeout=protocol.HEAD_SECONDS
            )
        except OSError:  # No TLS, another version, too slow, gone: it is the client's to know.
            connection.close()
        finally:
            handshake.over()
