"""The outermost layer: a request id for every request, in its answer and in its log lines, and an answer for every
exception."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from howdah.api.envelope import internal_error
from howdah.api.exchange import Exchange, begin
from howdah.api.headers import headers_of
from howdah.domain.errors import HowdahError

log = structlog.stdlib.get_logger("howdah.api")

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


Refused = Callable[[Scope, HowdahError | HTTPException], Response]
"""The answer to what was refused."""


class Tracing:
    def __init__(self, app: ASGIApp, refused: Refused) -> None:
        self._app = app
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self  # Without one the routing would write answers of its own.
        exchange = begin(scope, str(uuid.uuid4()))
        if scope["method"] == "HEAD":
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        # never unbound: the server runs each request in a task, whose context ends with it
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        await self._answer(scope, receive, send, exchange)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        began = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *headers_of(exchange)]
            await send(message)

        try:
            try:
                await self._app(scope, receive, send_with_headers)
            except (HowdahError, HTTPException) as error:
                await self._refused(scope, error)(scope, receive, send_with_headers)
        except ClientDisconnect:
            log.info("client went away", method=scope["method"], path=scope["path"])
            return
        except Exception:  # whatever it is, the client gets an envelope and the log the traceback
            log.exception("unexpected error", method=scope["method"], path=scope["path"])
            if status:
                raise  # the answer has begun; only ending the connection tells the client
            await internal_error(exchange.request_id)(scope, receive, send_with_headers)
        write = log.debug if scope["method"] in _READS and status < 500 else log.info
        milliseconds = round((time.perf_counter() - began) * 1000, 1)
        write("request", method=scope["method"], path=scope["path"], status=status, milliseconds=milliseconds)


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head
