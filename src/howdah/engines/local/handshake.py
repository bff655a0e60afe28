"""Looking at a server from outside: the certificate it shows, and whether it is alive."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct

_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_PROTOCOL = 196608
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
    try:
        async with asyncio.timeout(limit):
            try:
                streams = await asyncio.open_unix_connection(path)
                ask = _ask_for_session
            except OSError:
                streams = await asyncio.open_connection("127.0.0.1", port)
                ask = _ask_for_tls
            try:
                await ask(*streams)
            finally:
                streams[1].close()
                with contextlib.suppress(OSError):
                    await streams[1].wait_closed()
            return True
    except (TimeoutError, OSError, EOFError):
        return False


async def _ask_for_session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(struct.pack("!II", 8 + len(_SESSION), _PROTOCOL) + _SESSION)
    while (kind := await reader.readexactly(1)) not in b"ZE":
        await _skip(reader)
    await _skip(reader)
    if kind == b"Z":
        writer.write(b"X" + struct.pack("!I", 4))
        await writer.drain()


async def _ask_for_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_SSL_REQUEST)
    await reader.readexactly(1)


async def _skip(reader: asyncio.StreamReader) -> None:
    length = struct.unpack("!I", await reader.readexactly(4))[0]
    await reader.readexactly(min(max(length - 4, 0), 65536))
