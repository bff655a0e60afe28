"""The API's socket and the HTTP server on it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable, Generator
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from howdah.api.handshakes import SecureListener
from howdah.api.protocol import ApiProtocol, protocol
from howdah.domain.errors import SetupError
from howdah.domain.settings import ApiSettings

GRACE_SECONDS = 5
"""For requests under way when the server is told to stop."""


def listen(settings: ApiSettings) -> socket.socket:
    """A listening socket. Raises SetupError when the port cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise SetupError(_why_not(settings, error)) from None
    listener.setblocking(False)
    return listener


def _why_not(settings: ApiSettings, error: OSError) -> str:
    where = f"{settings.host} port {settings.port}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"the API cannot listen on {where}: another program does; choose another with --api-port"
        case errno.EACCES:
            return f"the API cannot listen on {where}: ports below 1024 need root; choose another with --api-port"
        case _:
            return f"the API cannot listen on {where}: {error.strerror}"


class HttpServer(uvicorn.Server):
    """uvicorn without its own ideas about signals: the command decides when it ends."""

    def __init__(self, app: ASGIApp, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol(),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """With TLS connections are accepted by us: uvicorn would know nothing of handshakes."""
        if self._tls is None:
            await super().startup(sockets)
            return
        made = [SecureListener(one, self._tls, self._connection) for one in sockets or ()]
        self.servers = cast("list[asyncio.Server]", made)
        self.started = True

    def _connection(self) -> ApiProtocol:
        make = cast("Callable[..., ApiProtocol]", self.config.http_protocol_class)
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    def stop(self) -> None:
        """Let requests under way end; the second time, do not wait for them."""
        self.force_exit = self.should_exit
        self.should_exit = True
