"""``python -I -m howdah.launcher``: the process that keeps root's rights. It serves the control plane that it was
started for, by the socket that both inherit, and ends with it."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from howdah.launcher.client import HOSTS
from howdah.launcher.layout import Layout
from howdah.launcher.rights import Rights
from howdah.launcher.verbs import Verbs
from howdah.launcher.wire import receive, send

_POLL = 0.01


def main() -> None:
    arguments = _arguments()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        # It ends when its control plane has, and not before. Ignored they would be for servers too, until they are up.
        signal.signal(number, _go_on)
    control = socket.socket(fileno=arguments.socket)
    layout = Layout(arguments.state, arguments.run, arguments.binaries, arguments.templates)
    rights = Rights(True, arguments.operator, arguments.group, range(arguments.uids[0], arguments.uids[1] + 1))
    table = Verbs(layout, rights, HOSTS, domain=arguments.domain).table
    _wait_for_turn(arguments.state / "services" / ".launcher", control)
    while connection := _accept(control):
        threading.Thread(target=serve, args=(connection, table), daemon=True).start()
    # At once, whatever the threads do: every verb may be killed at any instruction, and a new launcher waits for this.
    os._exit(0)


def _go_on(number: int, frame: object) -> None:
    pass


def serve(connection: socket.socket, table: Mapping[str, Callable[..., Any]]) -> None:
    """Answer the calls of one connection until its other end is closed."""
    with connection, contextlib.suppress(EOFError, ConnectionError):
        while True:
            send(connection, answer(receive(connection), table))


def answer(call: Any, table: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """One call carried out: its result, or why not."""
    try:
        verb, *arguments = call
        return {"result": table[verb](*arguments)}
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return {"errno": error.errno or 0, "said": f"{error.strerror or error}{where}"}
    except Exception as error:  # noqa: BLE001  # a bad call is refused; it ends no other one
        return {"refused": f"{type(error).__name__}: {error}"}


def _accept(control: socket.socket) -> socket.socket | None:
    message, handles, _, _ = socket.recv_fds(control, 1, 1)
    return socket.socket(fileno=handles[0]) if message and handles else None


def _wait_for_turn(lock: Path, control: socket.socket) -> None:
    """An earlier launcher may still be in the middle of a verb, though its control plane has been killed."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if select.select([control], [], [], 0)[0] and not control.recv(1, socket.MSG_PEEK):
                sys.exit(0)
            select.select([], [], [], _POLL)
        else:
            return


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m howdah.launcher")
    for name in ("state", "run", "binaries", "templates"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("operator", "group", "socket"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--domain", required=True)
    parser.add_argument("--uids", type=int, nargs=2, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
