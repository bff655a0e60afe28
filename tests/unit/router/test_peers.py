from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from howdah.router.peers import has_vanished, keep_alive, new_socket


@pytest.mark.parametrize(("seconds", "expected"), [(120.0, (60, 10, 6)), (2.0, (1, 1, 1)), (1.0, (1, 1, 1))])
def test_the_kernel_looks_after_idle_connections_for_so_long(seconds: float, expected: tuple[int, int, int]):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        keep_alive(listener, seconds)
        with new_socket("127.0.0.1") as client:
            client.setblocking(True)
            client.connect(listener.getsockname())
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                assert tuple(accepted.getsockopt(socket.IPPROTO_TCP, option) for option in options) == expected


def test_a_peer_that_answers_and_reads_nothing_has_not_vanished():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        with accepted:
            client.setblocking(False)
            with suppress(BlockingIOError):
                while client.send(bytes(65536)):
                    pass
            assert not has_vanished(client, 0.0)
