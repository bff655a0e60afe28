"""Reads the start of a TLS connection: which server name and application protocols a client asks for.

Pure: bytes in, a ``ClientHello`` out. Records: RFC 8446 section 5.1, ClientHello: section 4.1.2, server_name: RFC 6066
section 3, ALPN: RFC 7301 section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_HELLO = 64 * 1024
"""Bytes of records, at most, in which a ClientHello has to be complete."""

_HANDSHAKE_RECORD = 22
_CLIENT_HELLO = 1
_MAX_FRAGMENT = 1 << 14
_SERVER_NAME = 0
_ALPN = 16


class BadClientHello(ValueError):
    """These bytes are not the start of a TLS connection, or break a limit; the sentence says which rule."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """``server_name`` is lower case; None when the client sent none. ``protocols`` is ALPN's list as sent."""

    server_name: str | None
    protocols: tuple[bytes, ...]


class ClientHelloReader:
    """Collects a ClientHello that may be cut into records and segments anywhere. Every byte is looked at once."""

    def __init__(self) -> None:
        self.received = bytearray()
        """All bytes so far, as they have to be passed on to the server."""
        self._next_record = 0
        self._message = bytearray()

    def feed(self, data: bytes) -> ClientHello | None:
        """The ClientHello when it is complete with ``data``, None when bytes are missing. Raises BadClientHello."""
        self.received += data
        while (fragment := self._fragment()) is not None:
            self._message += fragment
            if (hello := self._complete()) is not None:
                return hello
        if len(self.received) >= MAX_HELLO:
            raise BadClientHello(f"no complete ClientHello in {MAX_HELLO} bytes")
        return None

    def _fragment(self) -> bytes | None:
        start = self._next_record
        header = self.received[start : start + 5]
        if header and header[0] != _HANDSHAKE_RECORD:
            raise BadClientHello(f"record type {header[0]} is not a handshake record")
        if len(header) > 1 and header[1] != 3:
            raise BadClientHello(f"record version {header[1]}.x is not TLS")
        if len(header) < 5:
            return None
        length = int.from_bytes(header[3:5])
        if not 0 < length <= _MAX_FRAGMENT:
            raise BadClientHello(f"a handshake record of {length} bytes")
        end = start + 5 + length
        if len(self.received) < end:
            return None
        self._next_record = end
        return bytes(self.received[start + 5 : end])

    def _complete(self) -> ClientHello | None:
        message = self._message
        if message[0] != _CLIENT_HELLO:
            raise BadClientHello(f"handshake message {message[0]} is not a ClientHello")
        if len(message) < 4:
            return None
        length = int.from_bytes(message[1:4])
        if length > MAX_HELLO:
            raise BadClientHello(f"a ClientHello of {length} bytes, more than {MAX_HELLO}")
        return parse_client_hello(bytes(message[4 : 4 + length])) if len(message) >= 4 + length else None


class _Fields:
    """A cursor over length-prefixed fields; running out of bytes is a BadClientHello."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise BadClientHello("a field of the ClientHello ends too early")
        self._at += count
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        """A field with a length of ``size`` bytes in front."""
        return self.take(self.number(size))

    def __bool__(self) -> bool:
        return self._at < len(self._data)


def parse_client_hello(body: bytes) -> ClientHello:
    """The ClientHello in a handshake message's ``body`` (without type and length). Raises BadClientHello."""
    fields = _Fields(body)
    fields.take(2 + 32)  # legacy_version, random
    fields.vector(1)  # legacy_session_id
    fields.vector(2)  # cipher_suites
    fields.vector(1)  # legacy_compression_methods
    extensions = _extensions(fields.vector(2)) if fields else {}
    if fields:
        raise BadClientHello("bytes after the extensions of the ClientHello")
    names, protocols = extensions.get(_SERVER_NAME), extensions.get(_ALPN)
    return ClientHello(
        server_name=None if names is None else _host_name(names),
        protocols=() if protocols is None else _protocols(protocols),
    )


def _extensions(block: bytes) -> dict[int, bytes]:
    fields = _Fields(block)
    found: dict[int, bytes] = {}
    while fields:
        kind = fields.number(2)
        if kind in found:
            raise BadClientHello(f"extension {kind} twice")
        found[kind] = fields.vector(2)
    return found


def _host_name(extension: bytes) -> str:
    outer = _Fields(extension)
    entries = _Fields(outer.vector(2))
    kind, name = entries.number(1), entries.vector(2)
    if kind != 0 or entries or outer:
        raise BadClientHello("server_name is not one host name")
    if not 0 < len(name) <= 255 or not all(0x20 < byte < 0x7F for byte in name):
        raise BadClientHello("the host name in server_name is not 1 to 255 printable ASCII characters")
    return name.decode("ascii").lower()


def _protocols(extension: bytes) -> tuple[bytes, ...]:
    outer = _Fields(extension)
    entries = _Fields(outer.vector(2))
    if outer:
        raise BadClientHello("bytes after the list of protocols")
    found: list[bytes] = []
    while entries:
        found.append(entries.vector(1))
    return tuple(found)
