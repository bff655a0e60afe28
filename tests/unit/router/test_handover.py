from __future__ import annotations

import socket

from howdah.router.handover import revive
from howdah.router.live import LiveConnections
from howdah.router.poller import Poller


def test_a_connection_that_an_older_router_hands_over_goes_on() -> None:
    client, client_side = socket.socketpair()
    server, server_side = socket.socketpair()
    described = {
        "address": "loopback",
        "route": {"service": "s", "names": ["a.example"], "host": "127.0.0.1", "port": 20001, "state": "open"},
        "client": {"fd": client_side.detach(), "open": True, "finishing": False, "unsent": ""},
        "server": {"fd": server_side.detach(), "open": True, "finishing": False, "unsent": ""},
    }
    live, poller = LiveConnections(), Poller()
    revive([described], poller, live)
    assert live.servers("loopback") == (("127.0.0.1", 20001),)
    client.sendall(b"on")
    poller.wait(10)
    assert server.recv(10) == b"on"
    live.close_misrouted(lambda service, at: (service, at) != ("s", ("127.0.0.1", 20001)))
    assert (len(live), client.recv(1)) == (0, b"")
    for sock in (client, server):
        sock.close()
    poller.close()
