"""``python -m howdah.router``: see docs/router.md."""

from __future__ import annotations

import argparse
import contextlib
import gc
import resource
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

from howdah.domain.errors import SetupError
from howdah.readiness import say_ready
from howdah.router.claim import Claim
from howdah.router.handover import Inherited, execute, inherited, left_command
from howdah.router.listen import listen, spread
from howdah.router.live import LiveConnections
from howdah.router.log import Log
from howdah.router.loop import Router, Told
from howdah.router.session import Context, Limits
from howdah.router.table import RouteTable
from howdah.router.tally import Tally, tally_file
from howdah.router.workers import Workers

SPARE_FILES = 160
"""File descriptors that are not for connections: listeners, the table, cancels, refusals."""
MOST_FILES = 1 << 16
"""What the default number of connections counts on, where the system allows more."""


def main() -> int:
    before = inherited()
    arguments = _arguments()
    log = Log()
    limits = Limits(
        arguments.handshake_seconds,
        arguments.hold_seconds,
        arguments.peer_seconds,
        _connection_limit(arguments.max_connections),
    )
    wake = _wake_on_signals(arguments.workers)
    try:
        lock = None if before is None else before.lock
        claim = Claim(arguments.status_file, lock, arguments.abandoned_seconds, log)
        listeners = _listeners(before, arguments, log)
        port: int = listeners[0].getsockname()[1]
        table = RouteTable(arguments.routes, log)
        table.refresh()
        groups = spread(listeners, arguments.workers, limits.peer)
        claim.say(port, insist=before is None)
    except SetupError as error:
        log.error("cannot_start", error=error.sentence)
        return 1
    except OSError as error:
        log.error("cannot_start", error=f"the status file cannot be written: {error}")
        return 1
    addresses = list(dict.fromkeys(listener.getsockname()[0] for listener in listeners))
    log.info("listening", port=port, addresses=addresses, connections=limits.connections, workers=arguments.workers)
    tallies = [tally_file(arguments.status_file, worker) for worker in range(arguments.workers)]
    if arguments.workers == 1:
        router = Router(listeners, Context.of(table, LiveConnections(), limits, log), Tally(tallies[0], log), claim)
    else:
        router = Workers(groups, table, limits, tallies, claim, log)
    if before is not None:
        router.revive(before.pairs)
        log.info("renewed", connections=len(before.pairs))
    gc.freeze()
    say_ready()
    heard = [listener for group in groups for listener in group]
    while router.run(wake) is Told.RENEW:
        try:
            execute(left_command(arguments.status_file), arguments.address, heard, claim.lock, router.pairs())
        except OSError as error:
            log.error("cannot_be_renewed", error=str(error))
    log.info("stopped")
    return 0


def _listeners(before: Inherited | None, arguments: argparse.Namespace, log: Log) -> list[socket.socket]:
    if before is not None:
        if before.listen_as(arguments.address, arguments.port):
            return before.listeners
        for listener in before.listeners:
            listener.close()
    return listen(arguments.address, arguments.port, arguments.port_search, arguments.peer_seconds, log)


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
    parser.add_argument("--peer-seconds", type=float, default=120.0, help="for a peer that does not answer any more")
    parser.add_argument("--abandoned-seconds", type=float, default=60.0, help="to live on when its files are gone")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the port")
    parser.add_argument("--max-connections", type=int, help="default: as many as file descriptors allow")
    return parser.parse_args()


def _wake_on_signals(workers: int) -> socket.socket:
    """A socket that gets the number of each signal: SIGTERM, SIGINT, SIGHUP; with several workers SIGCHLD too."""
    wake, waker = socket.socketpair()
    waker.setblocking(False)

    def tell(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            waker.send(bytes([number]))

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, *([signal.SIGCHLD] if workers > 1 else [])):
        signal.signal(number, tell)
    return wake


def _connection_limit(wanted: int | None) -> int:
    """Raises the limit of open files as far as it goes; a connection takes two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    possible = max(1, (files - SPARE_FILES) // 2)
    return possible if wanted is None else min(wanted, possible)


if __name__ == "__main__":
    sys.exit(main())
