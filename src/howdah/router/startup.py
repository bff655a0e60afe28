"""The few messages of Postgres' protocol that travel before TLS, and the errors and alerts that the router answers.

PostgreSQL documentation, "Message Formats": https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, StrEnum

SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)
ALPN_PROTOCOL = b"postgresql"

MAX_STARTUP = 10_000
"""Postgres' own limit of a startup packet, in bytes."""
_MAX_CANCEL_KEY = 256
_CANCEL_CODE = 80877102


class BadStartup(ValueError):
    """Not the start of a Postgres connection; Postgres closes such connections without an answer."""


class Request(StrEnum):
    SSL = "SSLRequest"
    GSSENC = "GSSENCRequest"
    CANCEL = "CancelRequest"
    STARTUP = "StartupMessage"


@dataclass(frozen=True, slots=True)
class StartupPacket:
    """One packet, whole, as received. ``version`` is (major, minor) for a StartupMessage, else (0, 0)."""

    request: Request
    packet: bytes
    version: tuple[int, int] = (0, 0)


def parse_startup(data: bytes) -> StartupPacket | None:
    """The packet at the start of ``data``, None when bytes are missing. Raises BadStartup."""
    if any(data[:2]):  # more than 65,535 bytes: not Postgres' protocol, and no reason to wait for the rest
        raise BadStartup("invalid length of startup packet")
    if len(data) < 4:
        return None
    length = int.from_bytes(data[:4])
    if not 8 <= length <= MAX_STARTUP:
        raise BadStartup("invalid length of startup packet")
    if len(data) < length:
        return None
    packet = bytes(data[:length])
    if packet == SSL_REQUEST:
        return StartupPacket(Request.SSL, packet)
    if packet == GSSENC_REQUEST:
        return StartupPacket(Request.GSSENC, packet)
    code = int.from_bytes(packet[4:8])
    if code == _CANCEL_CODE:
        if (
            not 12 < length <= 12 + _MAX_CANCEL_KEY
        ):  # code, process id, secret key: 4 bytes, up to 256 since protocol 3.2
            raise BadStartup("invalid length of cancel request packet")
        return StartupPacket(Request.CANCEL, packet)
    return StartupPacket(Request.STARTUP, packet, (code >> 16, code & 0xFFFF))


def fatal(sqlstate: str, message: str, hint: str | None = None) -> bytes:
    """An ErrorResponse of severity FATAL."""
    fields = [b"SFATAL", b"VFATAL", b"C" + sqlstate.encode(), b"M" + message.encode()]
    if hint is not None:
        fields.append(b"H" + hint.encode())
    body = b"".join(field + b"\0" for field in fields) + b"\0"
    return b"E" + struct.pack("!I", 4 + len(body)) + body


def fatal_of_old(message: str) -> bytes:
    """The same for clients of protocols before 3, which know no fields."""
    return b"EFATAL:  " + message.encode() + b"\n\0"


class Alert(IntEnum):
    """TLS alert descriptions, RFC 8446 section 6.2."""

    DECODE_ERROR = 50
    INTERNAL_ERROR = 80
    UNRECOGNIZED_NAME = 112
    NO_APPLICATION_PROTOCOL = 120


def fatal_alert(alert: Alert) -> bytes:
    """The record of an unencrypted fatal alert."""
    return bytes((21, 3, 3, 0, 2, 2, alert))
