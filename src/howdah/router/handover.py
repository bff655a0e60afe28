"""The router goes on in a new program, in the same process: an upgrade of Howdah drops no connection.

Sockets live on when a process executes another program. Which of them is what, and the bytes that have been read but
not written yet, are left in a file in memory; the new program finds it by an environment variable.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from howdah.router.live import LiveConnections
from howdah.router.poller import Poller
from howdah.router.splice import Pair, Side

VARIABLE = "_HOWDAH_ROUTER_HANDOVER"
SIDES = ("client", "server")


@dataclass(frozen=True, slots=True)
class Inherited:
    """What the program before this one has left. ``addresses``: where it was told to listen; None when this one was
    told the same. ``lock``: see ``Claim``."""

    addresses: tuple[str, ...] | None
    listeners: list[socket.socket]
    lock: int
    pairs: list[dict[str, Any]]

    def listen_as(self, addresses: Sequence[str], port: int) -> bool:
        """Whether its listeners are the ones that are wanted now."""
        if self.addresses is None:
            return True
        return tuple(addresses) == self.addresses and port in (0, self.listeners[0].getsockname()[1])


def execute(
    command: Sequence[str] | None,
    addresses: Sequence[str],
    listeners: Sequence[socket.socket],
    lock: int,
    pairs: Sequence[dict[str, Any]],
) -> NoReturn:
    """Becomes ``command``, with everything; None: the same one, as it is on the disk now. Raises OSError when it cannot
    be executed: nothing has changed then."""
    heard = [listener.fileno() for listener in listeners]
    left = {
        "addresses": None if command is None else list(addresses),
        "listeners": heard,
        "lock": lock,
        "pairs": list(pairs),
    }
    command = command or [sys.executable, *sys.orig_argv[1:]]
    memory = os.memfd_create("handover")
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # its default would end the new program while that begins
    try:
        with os.fdopen(os.dup(memory), "w") as file:
            json.dump(left, file)
        for handle in (memory, lock, *heard, *sockets_of(pairs)):
            os.set_inheritable(handle, True)
        os.execve(command[0], list(command), {**os.environ, VARIABLE: str(memory)})
    finally:
        signal.signal(signal.SIGHUP, hang_up)
        os.close(memory)


def inherited() -> Inherited | None:
    """What the program before left to this one; None when this is the first."""
    if (named := os.environ.pop(VARIABLE, None)) is None:
        return None
    with os.fdopen(int(named)) as file:
        file.seek(0)
        left = json.load(file)
    addresses = None if left["addresses"] is None else tuple(left["addresses"])
    return Inherited(addresses, [_socket(handle) for handle in left["listeners"]], left["lock"], left["pairs"])


def revive(pairs: Sequence[dict[str, Any]], poller: Poller, live: LiveConnections) -> None:
    """Goes on copying where the program before has stopped."""
    for described in pairs:
        route = described["route"]
        pair = Pair(
            _socket(described["client"]["fd"]),
            _socket(described["server"]["fd"]),
            address=described["address"],
            service=route["service"],
            server_address=(route["host"], route["port"]),
            poller=poller,
            ended=live.remove,
        )
        for side, was in ((pair.client, described["client"]), (pair.server, described["server"])):
            side.open, side.finishing = was["open"], was["finishing"]
            side.unsent = memoryview(base64.b64decode(was["unsent"])) if was["unsent"] else None
        live.arrive()
        live.add(pair)
        pair.start()


def leave_command(status_file: Path, command: Sequence[str]) -> None:
    """What the router of ``status_file`` executes at its next SIGHUP. Raises OSError."""
    _next_file(status_file).write_text(json.dumps(list(command)))


def left_command(status_file: Path) -> list[str] | None:
    """What was left for it, once. Raises OSError."""
    file = _next_file(status_file)
    try:
        command = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise OSError(f"{file} is not JSON: {error}") from None
    finally:
        file.unlink(missing_ok=True)
    return command


def _next_file(status_file: Path) -> Path:
    return status_file.with_name(f"{status_file.name}.next")


def sockets_of(pairs: Sequence[dict[str, Any]]) -> list[int]:
    """The descriptors of described connections, the client's and the server's of each."""
    return [pair[side]["fd"] for pair in pairs for side in SIDES]


def described(pair: Pair) -> dict[str, Any]:
    """A connection as the next program reads it."""
    host, port = pair.server_address
    return {
        "address": pair.address,
        "route": {"service": pair.service, "host": host, "port": port},
        "client": _side(pair.client),
        "server": _side(pair.server),
    }


def _side(side: Side) -> dict[str, Any]:
    unsent = "" if side.unsent is None else base64.b64encode(side.unsent).decode()
    return {"fd": side.fd, "open": side.open, "finishing": side.finishing, "unsent": unsent}


def _socket(handle: int) -> socket.socket:
    sock = socket.socket(fileno=handle)
    sock.setblocking(False)
    sock.set_inheritable(False)
    return sock
