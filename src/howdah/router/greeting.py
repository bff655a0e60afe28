"""What a client says before its connection can be routed, as a generator without I/O.

bytes from the client ──send()──▶ greeting() ──yield──▶ bytes to answer (may be none)
                                      │
                                      └─return─▶ Hello | Cancel | Refused
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from howdah.router.clienthello import BadClientHello, ClientHelloReader
from howdah.router.startup import (
    ALPN_PROTOCOL,
    Alert,
    BadStartup,
    Request,
    StartupPacket,
    fatal,
    fatal_alert,
    fatal_of_old,
    parse_startup,
)

TLS_HANDSHAKE = 0x16


@dataclass(frozen=True, slots=True)
class Hello:
    """A ClientHello has come for ``name``; ``received`` are its bytes. ``direct``: without an SSLRequest before it."""

    name: str
    received: bytes
    direct: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    """A CancelRequest without TLS."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """Send ``answer`` (may be empty) and close."""

    answer: bytes
    reason: str


Greeting = Generator[bytes, bytes, "Hello | Cancel | Refused"]


def greeting() -> Greeting:
    """From a client's first byte to what it wants. Start it with ``next()``."""
    answered: set[Request] = set()
    received = yield b""
    while received[0] != TLS_HANDSHAKE:
        try:
            packet = parse_startup(received)
        except BadStartup as bad:
            return Refused(b"", str(bad))
        if packet is None:
            received += yield b""
        elif packet.request is Request.CANCEL:
            return Cancel(packet.packet)
        elif packet.request is Request.STARTUP or packet.request in answered:
            return _refuse_plaintext(packet)
        elif len(received) > len(packet.packet):
            return _refuse_early_bytes(packet.request)
        elif packet.request is Request.SSL:
            return (yield from _tls((yield b"S"), direct=False))
        else:
            answered.add(Request.GSSENC)
            received = yield b"N"
    return (yield from _tls(received, direct=True))


def _tls(received: bytes, *, direct: bool) -> Greeting:
    reader = ClientHelloReader()
    try:
        while (hello := reader.feed(received)) is None:
            received = yield b""
    except BadClientHello as bad:
        return Refused(fatal_alert(Alert.DECODE_ERROR), str(bad))
    if direct and ALPN_PROTOCOL not in hello.protocols:
        return Refused(fatal_alert(Alert.NO_APPLICATION_PROTOCOL), "direct TLS without ALPN 'postgresql'")
    if hello.server_name is None:
        return Refused(fatal_alert(Alert.UNRECOGNIZED_NAME), "a ClientHello without server name (SNI)")
    return Hello(hello.server_name, bytes(reader.received), direct)


def _refuse_plaintext(packet: StartupPacket) -> Refused:
    code = int.from_bytes(packet.packet[4:8])
    major, minor = packet.version if packet.request is Request.STARTUP else divmod(code, 1 << 16)
    if major != 3:
        message = f"unsupported frontend protocol {major}.{minor}: server supports 3.0 and later"
        answer = fatal_of_old(message) if major < 3 else fatal("0A000", message)
        return Refused(answer, f"protocol {major}.{minor}")
    if packet.packet[-1]:
        message = "invalid startup packet layout: expected terminator as last byte"
        return Refused(fatal("08P01", message), message)
    message = "this server accepts TLS connections only; connect with sslmode=require"
    hint = "Use sslmode=require, or verify-full with the service's CA certificate, and the service's own hostname."
    return Refused(fatal("28000", message, hint), "a connection without TLS")


def _refuse_early_bytes(request: Request) -> Refused:
    kind = "SSL request" if request is Request.SSL else "GSSAPI encryption request"
    message = f"received unencrypted data after {kind}"
    return Refused(fatal("08P01", message), message)
