"""What happens before a request is one: bounds on its head and on the time it takes, and an envelope for what is no
HTTP. uvicorn's protocol does the rest."""

from __future__ import annotations

import asyncio
import resource
import uuid
from asyncio import TimerHandle
from http import HTTPStatus
from typing import Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from howdah.api.envelope import refusal_before_routing
from howdah.api.headers import SECURITY
from howdah.api.joining import Joining

HEAD_SECONDS = 10.0
"""For a request line with its headers, from the connection or from the end of the previous answer's body."""

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100

_TOO_LARGE = f"the request line and headers are larger than {MAX_HEAD_BYTES} bytes or more than {MAX_HEADERS} headers"
_NO_HTTP = (
    "this is no HTTP/1.1 request that can be understood: check its request line, its headers (one Content-Length or"
    " Transfer-Encoding, no line folding) and that the scheme of the URL is the server's"
)
_ONE_HOST = "an HTTP/1.1 request has exactly one header Host"
_TOO_SLOW = f"the request line and headers did not arrive within {HEAD_SECONDS:g} s"


def most_connections() -> int:
    """Of the API; half of what this process may open, since the store and the reconciler need files too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 8192 if soft == resource.RLIM_INFINITY else max(64, min(8192, soft // 2))


class Waiting(Protocol):
    """Whoever may be ended so that others have room."""

    def give_up(self) -> None:
        """End it without an answer."""
        ...


class Shaking(Waiting, Protocol):
    def over(self) -> None:
        """It is a connection now, or none."""
        ...


class ApiProtocol(HttpToolsProtocol):
    """One connection. ``handshake``: the one of TLS that made it.

    Those without a whole request yet, handshakes among them, are kept in the order in which they began to wait. When
    there are more connections than may be, the first of these is closed, so that slow ones cost others nothing.
    """

    waiting: dict[Waiting, None]
    handshakes: set[Waiting]
    most: int
    handshake: Shaking | None = None

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._timer: TimerHandle | None = None
        self._in_head = False
        self._head_bytes = 0
        self._refusal: tuple[HTTPStatus, str, str] | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(cast("asyncio.Transport", Joining(transport, self.loop)))
        if self.handshake is not None:
            self.handshake.over()
        self._wait()
        self._in_head = True
        self._expect_head()
        self.make_room(len(self.connections))

    @classmethod
    def make_room(cls, connections: int) -> None:
        """``connections``: how many there are beside those in a handshake."""
        if connections + len(cls.handshakes) > cls.most and cls.waiting:
            next(iter(cls.waiting)).give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self.waiting.pop(self, None)
        self._expect_nothing()
        super().connection_lost(exc)

    def give_up(self) -> None:
        """Ends the connection without an answer."""
        self.waiting.pop(self, None)
        self.connections.discard(self)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "HEADERS_TOO_LARGE", _TOO_LARGE)
                return
        if self._timer is None and (self._in_head or not self._answering()):
            self._expect_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self._wait()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else a trailer, which nothing may depend on
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            self._refusal = (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "HEADERS_TOO_LARGE", _TOO_LARGE)
            raise ValueError(_TOO_LARGE)
        assert self.parser is not None
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            self._refusal = (HTTPStatus.BAD_REQUEST, "BAD_REQUEST", _ONE_HOST)
            raise ValueError(_ONE_HOST)
        super().on_headers_complete()
        self._in_head = False
        self._expect_nothing()

    def on_message_complete(self) -> None:
        self.waiting.pop(self, None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._wait()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        self._refuse(*(self._refusal or (HTTPStatus.BAD_REQUEST, "BAD_REQUEST", _NO_HTTP)))

    def _refuse(self, status: HTTPStatus, code: str, sentence: str) -> None:
        """Answers and closes; only closes where the answer could be taken for that to an earlier request."""
        if not self._answering() or (self.cycle.more_body and not self.cycle.response_started):
            request_id = str(uuid.uuid4())
            content = refusal_before_routing(request_id, status, f"{code}: {sentence}")
            head = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(content)).encode()),
                (b"connection", b"close"),
                (b"x-request-id", request_id.encode()),
                *SECURITY,
            ]
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in head)
            self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + content)
        self.transport.close()

    def _answering(self) -> bool:
        """Whether a request is under way."""
        return self.cycle is not None and not self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]

    def _wait(self) -> None:
        self.waiting.pop(self, None)
        self.waiting[self] = None

    def _expect_head(self) -> None:
        self._expect_nothing()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _expect_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._answering():
            return
        if self._in_head and self.parser is not None:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "REQUEST_TIMEOUT", _TOO_SLOW)
        else:
            self.transport.close()


def protocol() -> type[ApiProtocol]:
    """For one server: its connections share what they know of each other."""
    return type("ServerProtocol", (ApiProtocol,), {"waiting": {}, "handshakes": set(), "most": most_connections()})
