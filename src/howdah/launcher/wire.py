"""How calls travel between the control plane and its launcher: a length and JSON, on sockets that only they have.

Only plain data: what a control plane sends, one that somebody took over perhaps, is read without running any of it.
"""

from __future__ import annotations

import json
import socket
import struct
from base64 import b64decode, b64encode
from dataclasses import asdict
from typing import Any, cast

from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance

LONGEST = 4 << 20
"""Bytes of a message: what is said of thousands of instances fits."""

_LENGTH = struct.Struct("!I")
_BYTES, _INSTANCE = "$bytes", "$instance"


def encode(value: object) -> bytes:
    """Raises ValueError when it would be too long."""
    message = json.dumps(value, default=_encode, separators=(",", ":")).encode()
    if len(message) > LONGEST:
        raise ValueError(f"a message of {len(message)} bytes is too long")
    return message


def decode(message: bytes) -> Any:
    """Raises ValueError for what ``encode`` cannot have made."""
    return json.loads(message, object_hook=_decode)


def send(connection: socket.socket, value: object) -> None:
    """Raises OSError; ValueError for what is too long."""
    message = json.dumps(value, default=_encode, separators=(",", ":")).encode()
    if len(message) > LONGEST:
        raise ValueError(f"a message of {len(message)} bytes is too long")
    connection.sendall(_LENGTH.pack(len(message)) + message)


def receive(connection: socket.socket) -> Any:
    """Raises OSError; EOFError when the other end is closed; ValueError for what ``send`` cannot have sent."""
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    if length > LONGEST:
        raise ValueError(f"a message of {length} bytes is too long")
    return json.loads(_exactly(connection, length), object_hook=_decode)


def _exactly(connection: socket.socket, count: int) -> bytes:
    content = bytearray()
    while len(content) < count:  # A signal may cut short what one call waits for.
        part = connection.recv(count - len(content), socket.MSG_WAITALL)
        if not part:
            raise EOFError("the other end is closed")
        content += part
    return bytes(content)


def _encode(value: object) -> object:
    match value:
        case bytes():
            return {_BYTES: b64encode(value).decode()}
        case Instance():
            return {_INSTANCE: [value.id.ubid, value.service.ubid, value.port, value.uid]}
        case _:
            return asdict(cast("Any", value))


def _decode(value: dict[str, Any]) -> object:
    if len(value) == 1 and isinstance(content := value.get(_BYTES), str):
        return b64decode(content, validate=True)
    if len(value) == 1 and _INSTANCE in value:
        return _instance(*value[_INSTANCE])
    return value


def _instance(identifier: object, service: object, port: object, uid: object) -> Instance:
    if not isinstance(port, int) or not 0 < port < 65536 or not isinstance(uid, int | None):
        raise ValueError("not an instance")
    return Instance(InstanceId.from_ubid(str(identifier)), ServiceId.from_ubid(str(service)), port, uid)
