"""Requests over connections that are kept, as fast as they are answered; each connection sends the next one then."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast

LONGEST = 30.0
"""Seconds that an answer may take."""


@dataclass(frozen=True)
class Request:
    raw: bytes

    @classmethod
    def of(cls, method: str, path: str, authorization: str, body: bytes = b"") -> Request:
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic {authorization}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return cls(head.encode() + b"\r\n" + body)


@dataclass(frozen=True)
class Rate:
    """``a_second``: answers. ``p50``, ``p99``: milliseconds until each was whole."""

    a_second: float
    p50: float
    p99: float


@dataclass
class _Connection(asyncio.Protocol):
    """One at a time: the answer to each is read by its Content-Length."""

    request: bytes
    ended: asyncio.Future[None]
    until: float
    took: list[float] = field(default_factory=list[float])
    _transport: asyncio.Transport | None = None
    _began: float = 0.0
    _missing: int = -1
    _head: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods alone
        self._send()

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._head += data
            head, there, body = self._head.partition(b"\r\n\r\n")
            if not there:
                return
            assert head.startswith(b"HTTP/1.1 200"), self._head
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self._missing = int(length) - len(body)
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("closed before its answer"))

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def _answered(self) -> None:
        now = time.perf_counter()
        self.took.append(now - self._began)
        if now < self.until:
            self._send()
        elif not self.ended.done():
            self.ended.set_result(None)

    def _send(self) -> None:
        assert self._transport is not None
        self._head, self._missing, self._began = b"", -1, time.perf_counter()
        self._transport.write(self.request)


async def measure(port: int, request: Request, *, connections: int, seconds: float) -> Rate:
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    until = began + seconds
    made: list[_Connection] = []
    for _ in range(connections):
        one = _Connection(request.raw, loop.create_future(), until)
        await loop.create_connection(lambda one=one: one, "127.0.0.1", port)
        made.append(one)
    async with asyncio.timeout(seconds + LONGEST):
        await asyncio.gather(*(one.ended for one in made))
    lasted = time.perf_counter() - began
    took = sorted(each for one in made for each in one.took)
    for one in made:
        one.close()
    return Rate(len(took) / lasted, 1000 * took[len(took) // 2], 1000 * took[int(len(took) * 0.99)])
