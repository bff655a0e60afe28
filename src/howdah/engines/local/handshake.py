"""Looking at a server from outside: the certificate it shows, and whether it is alive."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct

_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_PROTOCOL = 196608
_LONGEST_GREETING = 65536
_SESSION = (
    b"user\0postgres\0database\0postgres\0replication\0database\0application_name\0howdah-probe\0"
    b"options\0-c event_triggers=off -c session_preload_libraries= -c local_preload_libraries= -c post_auth_delay=0\0\0"
)
"""A tenant's login trigger or library may take its time; the server is alive all the same."""

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def leaf(certificate: str) -> bytes:
    """The first certificate of a PEM, in DER."""
    found = _PEM.search(certificate)
    if found is None:
        raise ValueError("no certificate in this PEM")
    return ssl.PEM_cert_to_DER_cert(found[0])


def shown_certificate(port: int, *, limit: float = 3.0) -> bytes | None:
    """The leaf (DER) that the server on this loopback port presents; None when it presents none. Blocks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=limit) as plain:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != b"S":
                return None
            with context.wrap_socket(plain) as secured:
                return secured.getpeercert(binary_form=True)
    except OSError:
        return None


async def is_alive(path: str, port: int, *, limit: float) -> bool:
    """Whether a server answers on its Unix socket, or (its tenant can delete that) on its port.

    Any answer will do, a refusal too; silence will not. It asks as a walsender, which gets in when every ordinary
    connection is taken.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limit):
            with socket.socket(socket.AF_UNIX) as local:
                local.setblocking(False)
                try:
                    local.connect(path)  # Never waits: it is there and has room for one more, or not.
                except OSError:
                    await _ask_for_tls(loop, port)
                else:
                    await _ask_for_session(loop, local)
            return True
    except (TimeoutError, OSError, EOFError):
        return False


async def _ask_for_session(loop: asyncio.AbstractEventLoop, server: socket.socket) -> None:
    """Bare sockets: asyncio's streams would take most of what this costs for each of hundreds of servers."""
    await loop.sock_sendall(server, struct.pack("!II", 8 + len(_SESSION), _PROTOCOL) + _SESSION)
    said = b""
    while (kind := _last_message(said)) is None:
        if len(said) > _LONGEST_GREETING:
            return
        if not (part := await loop.sock_recv(server, 8192)):
            raise EOFError
        said += part
    if kind == b"Z":
        await loop.sock_sendall(server, b"X" + struct.pack("!I", 4))


async def _ask_for_tls(loop: asyncio.AbstractEventLoop, port: int) -> None:
    with socket.socket(socket.AF_INET) as server:
        server.setblocking(False)
        await loop.sock_connect(server, ("127.0.0.1", port))
        await loop.sock_sendall(server, _SSL_REQUEST)
        if not await loop.sock_recv(server, 1):
            raise EOFError


def _last_message(said: bytes) -> bytes | None:
    """ReadyForQuery or ErrorResponse, once one of them is there as a whole (documentation: Message Formats)."""
    at = 0
    while len(said) >= at + 5:
        kind, length = said[at : at + 1], struct.unpack_from("!I", said, at + 1)[0]
        at += 1 + max(length, 4)
        if kind in b"ZE":
            return kind if len(said) >= at else None
    return None
