"""Peers that vanish without a word, their machine or the way to it being gone."""

from __future__ import annotations

import socket
import struct

_RETRANSMITS, _PROBES, _LAST_ACK = 2, 3, 56
"""Where linux/tcp.h has them in struct tcp_info: retransmissions and probes in a row without an answer, and the
milliseconds since the last acknowledgement."""
_INFO_BYTES = 60
_IN_A_ROW = 3


def new_socket(host: str) -> socket.socket:
    """To connect with a server."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def keep_alive(sock: socket.socket, seconds: float) -> None:
    """The kernel ends an idle connection whose peer has not answered for ``seconds``. Sockets that a listener accepts
    inherit it."""
    idle = max(1, int(seconds / 2))
    interval = max(1, int(seconds / 12))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, max(1, int((seconds - idle) / interval)))


def has_vanished(sock: socket.socket, seconds: float) -> bool:
    """Whether a peer that was sent something has not answered for ``seconds``, which keepalive does not notice.

    TCP_USER_TIMEOUT would end connections whose peer is well and reads nothing for so long: a client that shows a
    result page by page, a server that is busy with one query while the next ones come in.
    """
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    if max(info[_RETRANSMITS], info[_PROBES]) < _IN_A_ROW:
        return False
    return struct.unpack_from("=I", info, _LAST_ACK)[0] >= seconds * 1000
