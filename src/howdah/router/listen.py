"""The sockets on which the router accepts clients: the same port on every address."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from howdah.domain.errors import SetupError
from howdah.router.log import Log
from howdah.router.peers import keep_alive

BACKLOG = 1024
LAST_PORT = 65535
_NO_SUCH_ADDRESS = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def listen(addresses: Sequence[str], port: int, search: int, peer: float, log: Log) -> list[socket.socket]:
    """Listens on ``port``, or on the first of the ``search`` ports above it that is free on all ``addresses``; port 0
    is any free one. Addresses that this machine lacks are skipped. ``peer``: see ``Limits``. Raises SetupError."""
    for candidate in range(port, min(port + search, LAST_PORT) + 1):
        try:
            listeners = _listen_on(addresses, candidate, peer)
        except PermissionError:
            raise SetupError(
                f"port {candidate} may not be used by this user; choose one from 1024 upward (router.port)"
            ) from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SetupError(f"cannot listen on port {candidate}: {error.strerror}") from None
            if port:
                log.warning("port_taken", port=candidate, message=f"port {candidate} is taken; trying the next one")
            continue
        if not listeners:
            raise SetupError(f"none of the addresses {', '.join(addresses)} exists on this machine")
        return listeners
    raise SetupError(f"no free port from {port} to {min(port + search, LAST_PORT)} on {', '.join(addresses)}")


def _listen_on(addresses: Sequence[str], port: int, peer: float) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    try:
        for address in addresses:
            if (listener := _bind(address, listeners[0].getsockname()[1] if listeners else port, peer)) is not None:
                listeners.append(listener)
        for listener in listeners:
            listener.listen(BACKLOG)
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def spread(listeners: Sequence[socket.socket], workers: int, peer: float) -> list[list[socket.socket]]:
    """Listeners for each of ``workers`` on the same addresses, these among them. Raises SetupError."""
    if workers == 1:
        return [list(listeners)]
    found: dict[tuple[str, int], list[socket.socket]] = {}
    for listener in listeners:
        found.setdefault(listener.getsockname()[:2], []).append(listener)
    for (address, port), same in found.items():
        for listener in same:
            # Only now: had it been set before binding, another router of this user could have taken the same port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        while len(same) < workers:
            if (another := _bind(address, port, peer, shared=True)) is None:
                raise SetupError(f"cannot listen on {address} any more")
            another.listen(BACKLOG)
            same.append(another)
    # More than there are workers, of a program before with more of them: each may have clients in its queue.
    return [[one for same in found.values() for one in same[worker::workers]] for worker in range(workers)]


def _bind(address: str, port: int, peer: float, *, shared: bool = False) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        if error.errno in _NO_SUCH_ADDRESS:
            return None
        raise
    try:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit these.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(listener, peer)
        # Clients speak first: wake up once for a client and its first bytes. A silent one is accepted a second later.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        if error.errno in _NO_SUCH_ADDRESS:
            return None
        raise
    return listener
