"""``python -m howdah.router``: see docs/router.md."""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import resource
import signal
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from howdah import __version__
from howdah.domain.errors import SetupError
from howdah.domain.routes import FORMAT_VERSION
from howdah.readiness import say_ready
from howdah.router.handover import Inherited, execute, hold, inherited, left_command
from howdah.router.listen import listen
from howdah.router.live import LiveConnections
from howdah.router.log import Log
from howdah.router.loop import Router, Told
from howdah.router.session import Context, Limits
from howdah.router.table import RouteTable

SPARE_FILES = 160
"""File descriptors that are not for connections: listeners, the table, cancels, refusals."""
MOST_FILES = 1 << 16
"""What the default number of connections counts on, where the system allows more."""


def main() -> int:
    before = inherited()
    arguments = _arguments()
    log = Log()
    wake = _wake_on_signals()
    connections = _connection_limit(arguments.max_connections)
    try:
        lock = _lock(arguments.status_file) if before is None else before.lock
        listeners = _listeners(before, arguments, log)
        port: int = listeners[0].getsockname()[1]
        table = RouteTable(arguments.routes, log)
        table.refresh()
        _write_status(arguments.status_file, port)
    except SetupError as error:
        log.error("cannot_start", error=error.sentence)
        return 1
    except OSError as error:
        log.error("cannot_start", error=f"the status file cannot be written: {error}")
        return 1
    log.info("listening", port=port, addresses=[sock.getsockname()[0] for sock in listeners], connections=connections)
    limits = Limits(arguments.handshake_seconds, arguments.hold_seconds, connections)
    live = LiveConnections()
    router = Router(listeners, Context(table, live, limits, log))
    if before is not None:
        router.revive(before.pairs)
        log.info("renewed", connections=len(live))
    gc.freeze()
    say_ready()
    while router.run(wake) is Told.RENEW:
        try:
            execute(left_command(arguments.status_file), arguments.address, listeners, lock, live)
        except OSError as error:
            log.error("cannot_be_renewed", error=str(error))
    log.info("stopped")
    return 0


def _lock(status_file: Path) -> int:
    handle = hold(status_file.with_name(f"{status_file.name}.lock"))
    if handle is None:
        raise SetupError(f"another router writes {status_file}")
    return handle


def _listeners(before: Inherited | None, arguments: argparse.Namespace, log: Log) -> list[socket.socket]:
    if before is not None:
        if before.listen_as(arguments.address, arguments.port):
            return before.listeners
        for listener in before.listeners:
            listener.close()
    return listen(arguments.address, arguments.port, arguments.port_search, log)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m howdah.router", description="Routes Postgres clients by TLS server name."
    )
    parser.add_argument("--routes", type=Path, required=True, help="the route table, watched for changes")
    parser.add_argument("--address", action="append", required=True, help="IP address to listen on; may be repeated")
    parser.add_argument("--port", type=int, required=True, help="0 takes any free one")
    parser.add_argument("--port-search", type=int, default=100, help="how many ports above a taken one are tried")
    parser.add_argument("--status-file", type=Path, required=True, help="written when the router listens")
    parser.add_argument("--handshake-seconds", type=float, default=60.0, help="for a client to say where it goes")
    parser.add_argument("--hold-seconds", type=float, default=60.0, help="for a server to become reachable")
    parser.add_argument("--max-connections", type=int, help="default: as many as file descriptors allow")
    return parser.parse_args()


def _wake_on_signals() -> socket.socket:
    """A socket that gets the number of each signal: SIGTERM, SIGINT, SIGHUP."""
    wake, waker = socket.socketpair()
    waker.setblocking(False)

    def tell(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            waker.send(bytes([number]))

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, tell)
    return wake


def _connection_limit(wanted: int | None) -> int:
    """Raises the limit of open files as far as it goes; a connection takes two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    possible = max(1, (files - SPARE_FILES) // 2)
    return possible if wanted is None else min(wanted, possible)


def _write_status(path: Path, port: int) -> None:
    status = {
        "pid": os.getpid(),
        "port": port,
        "version": __version__,
        "table": FORMAT_VERSION,
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(status))
    fresh.replace(path)


if __name__ == "__main__":
    sys.exit(main())
