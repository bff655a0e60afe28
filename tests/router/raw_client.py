"""Bytes to and from a router, for what no proper client would send."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from howdah.router.startup import SSL_REQUEST


def dial(port: int, *, seconds: float = 20.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=seconds)


def read_to_end(sock: socket.socket) -> bytes:
    """All bytes until the other side ends or resets."""
    received = b""
    try:
        while data := sock.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


def ask_for_tls(port: int) -> socket.socket:
    """A connection that has been told ``S``."""
    sock = dial(port)
    sock.sendall(SSL_REQUEST)
    assert sock.recv(1) == b"S"
    return sock


def tls_context(certificate: Path | None = None, protocols: tuple[str, ...] = ("postgresql",)) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if certificate is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(certificate)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def client_hello(name: str | None, protocols: tuple[str, ...] = ("postgresql",)) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = tls_context(protocols=protocols).wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a peer")


def startup(code: int, content: bytes = b"") -> bytes:
    return (8 + len(content)).to_bytes(4) + code.to_bytes(4) + content
