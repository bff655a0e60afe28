"""A CancelRequest without TLS, which names no server, is brought to those that it can be for."""

from __future__ import annotations

import socket
import time
from collections import Counter

from howdah.router.live import LiveConnections
from howdah.router.log import Log
from howdah.router.peers import new_socket
from howdah.router.waits import Wait, Waiting, connect, linger, send

CANCEL_SECONDS = 5.0
AT_ONCE = 8
"""Requests of one client address that are brought to servers at the same time. Each of them costs every one of those
servers a process, whether its key is right or not."""
AGAIN_SECONDS = 0.1


class Cancels:
    def __init__(self, live: LiveConnections, log: Log) -> None:
        self._live = live
        self._log = log
        self._under_way: Counter[str] = Counter()

    def bring(self, packet: bytes, client: socket.socket, address: str) -> Waiting:
        """Sends ``packet`` to the servers to which ``address`` has connections."""
        until = time.monotonic() + CANCEL_SECONDS
        while self._under_way[address] >= AT_ONCE:
            if time.monotonic() >= until:
                self._log.warning("too_many_cancels", client=address)
                return
            yield Wait(client, 0, time.monotonic() + AGAIN_SECONDS)
        self._under_way[address] += 1
        try:
            yield from self._send(packet, address, until)
        finally:
            self._under_way[address] -= 1
            if not self._under_way[address]:
                del self._under_way[address]

    def _send(self, packet: bytes, address: str, until: float) -> Waiting:
        """Servers that it is not for ignore it. Its client may rely on the signal having been sent when the connection
        ends, so wait for the servers to end theirs."""
        asked: list[socket.socket] = []
        try:
            for host, port in self._live.servers(address):
                server = new_socket(host)
                asked.append(server)
                try:
                    yield from connect(server, (host, port), until)
                    yield from send(server, packet, until)
                except OSError:
                    continue
            for server in asked:
                yield from linger(server, until)
        finally:
            for server in asked:
                server.close()
