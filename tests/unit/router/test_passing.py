from __future__ import annotations

import os
import socket
import threading
import time
from typing import Any

import pytest

from howdah.router.passing import receive_pairs, send_pairs


def described(number: int, client: int, server: int) -> dict[str, Any]:
    return {"address": str(number), "client": {"fd": client, "unsent": "x" * 1000}, "server": {"fd": server}}


def test_more_connections_than_fit_into_a_message_arrive_in_order():
    here, there = socket.socketpair()
    sockets = [socket.socketpair() for _ in range(200)]
    pairs = [described(n, client.fileno(), server.fileno()) for n, (client, server) in enumerate(sockets)]
    sender = threading.Thread(target=send_pairs, args=(there, pairs))
    sender.start()
    received = receive_pairs(here, time.monotonic() + 20)
    sender.join()
    assert [pair["address"] for pair in received] == [pair["address"] for pair in pairs]
    for number, pair in enumerate(received):
        for side, sock in zip(("client", "server"), sockets[number], strict=True):
            assert os.path.sameopenfile(pair[side]["fd"], sock.fileno())
            assert pair[side]["fd"] != sock.fileno()
            os.close(pair[side]["fd"])
            sock.close()
    here.close()
    there.close()


def test_a_sender_that_ends_too_early_leaves_nothing_open():
    here, there = socket.socketpair()
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(there, [b"\1"], [0, 1, 2])
    there.close()
    with pytest.raises(ConnectionError, match="ended before"):
        receive_pairs(here, time.monotonic() + 20)
    assert len(os.listdir("/proc/self/fd")) == before - 1
    here.close()


def test_a_sender_that_says_nothing_is_not_waited_for():
    here, there = socket.socketpair()
    with pytest.raises(TimeoutError):
        receive_pairs(here, time.monotonic())
    here.close()
    there.close()
