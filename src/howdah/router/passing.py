"""Connections on their way from one process of the router to another: descriptors by a Unix socket (SCM_RIGHTS), what
is known of them in a file in memory."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Sequence
from typing import Any

from howdah.router.handover import SIDES, sockets_of

AT_ONCE = 250
"""Descriptors in one message; Linux takes 253."""
_SOME, _END = b"\1", b"\0"


def send_pairs(channel: socket.socket, pairs: Sequence[dict[str, Any]]) -> None:
    """Raises OSError."""
    memory = os.memfd_create("pairs")
    with os.fdopen(os.dup(memory), "w") as file:
        json.dump(list(pairs), file)
    handles = [memory, *sockets_of(pairs)]
    channel.setblocking(True)
    for start in range(0, len(handles), AT_ONCE):
        socket.send_fds(channel, [_SOME], handles[start : start + AT_ONCE])
    channel.sendall(_END)


def receive_pairs(channel: socket.socket, until: float) -> list[dict[str, Any]]:
    """What the other process has sent, with descriptors of this one. Raises OSError, also when it takes longer than
    ``until``; nothing is open then."""
    handles: list[int] = []
    try:
        while True:
            channel.settimeout(max(0.001, until - time.monotonic()))
            said, received, _, _ = socket.recv_fds(channel, 1, AT_ONCE)
            handles += received
            if said == _END:
                return _known_again(handles)
            if not said:
                raise ConnectionError("it ended before it had handed all its connections over")
    except BaseException:
        for handle in handles:
            os.close(handle)
        raise


def _known_again(handles: list[int]) -> list[dict[str, Any]]:
    with os.fdopen(os.dup(handles[0])) as file:
        file.seek(0)
        pairs = json.load(file)
    if len(handles) != 1 + len(SIDES) * len(pairs):
        raise ConnectionError("descriptors are missing")
    os.close(handles[0])
    rest = iter(handles[1:])
    for pair in pairs:
        for side in SIDES:
            pair[side]["fd"] = next(rest)
    return pairs
