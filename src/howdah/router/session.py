"""One client's connection from accept to the first spliced byte, read top to bottom."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Generator
from dataclasses import dataclass

from howdah.domain.routes import Address, Route, RouteState
from howdah.router.cancelling import Cancels
from howdah.router.greeting import Cancel, Hello, Refused, greeting
from howdah.router.live import LiveConnections
from howdah.router.log import Log
from howdah.router.peers import keep_alive, new_socket
from howdah.router.startup import SSL_REQUEST, Alert, fatal, fatal_alert
from howdah.router.table import RouteTable
from howdah.router.waits import CHUNK, Ended, Wait, Waiting, Woken, connect, linger, receive, send

RETRY_SECONDS = 0.02
PATIENCE_SECONDS = 1.0
"""For a server that does not answer while there is another one to try."""
LINGER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """``handshake``: seconds until a client has said where it wants to go; ``hold``: seconds from there until it is
    connected; ``peer``: seconds until a peer that does not answer is taken for gone; ``connections``: clients at a
    time."""

    handshake: float
    hold: float
    peer: float
    connections: int


@dataclass(frozen=True, slots=True)
class Context:
    table: RouteTable
    live: LiveConnections
    limits: Limits
    log: Log
    cancels: Cancels

    @classmethod
    def of(cls, table: RouteTable, live: LiveConnections, limits: Limits, log: Log) -> Context:
        return cls(table, live, limits, log, Cancels(live, log))


@dataclass(frozen=True, slots=True)
class Routed:
    """A server has the ClientHello: from here on copy bytes. ``service``: the key of the route; ``address``: which of
    its servers."""

    service: str
    address: Address
    server: socket.socket


Session = Generator[Wait, Woken, Routed | None]


def session(client: socket.socket, address: str, context: Context) -> Session:
    """What happens on ``client``. Returns None when it has been dealt with; closing it is the caller's part."""
    outcome = yield from _greet(client, time.monotonic() + context.limits.handshake)
    match outcome:
        case Hello():
            return (yield from _route(client, outcome, context))
        case Cancel():
            yield from context.cancels.bring(outcome.packet, client, address)
        case Refused():
            context.log.info("client_refused", client=address, reason=outcome.reason)
            yield from _answer(client, outcome.answer)
    return None


def refuse_overload(client: socket.socket) -> Session:
    """Says what Postgres says when there are too many connections."""
    yield from _answer(client, fatal("53300", "sorry, too many clients already"))
    return None


def _greet(client: socket.socket, until: float) -> Generator[Wait, Woken, Hello | Cancel | Refused]:
    steps = greeting()
    reply = next(steps)
    while True:
        if reply:
            yield from send(client, reply, until)
        received = yield from receive(client, CHUNK, until)
        try:
            reply = steps.send(received)
        except StopIteration as end:
            return end.value


def _answer(client: socket.socket, answer: bytes) -> Waiting:
    until = time.monotonic() + LINGER_SECONDS
    if answer:
        yield from send(client, answer, until)
        yield from linger(client, until)


def _route(client: socket.socket, hello: Hello, context: Context) -> Session:
    until = time.monotonic() + context.limits.hold
    problem = "held"
    while True:
        context.table.refresh()
        route = context.table.named(hello.name)
        if route is None:
            context.log.info("unknown_name", name=hello.name)
            yield from _answer(client, fatal_alert(Alert.UNRECOGNIZED_NAME))
            return None
        again = until
        if route.state is RouteState.OPEN:
            try:
                return (yield from _reach(route, hello, until, context))
            except OSError as error:
                problem = str(error)
            again = min(until, time.monotonic() + RETRY_SECONDS)
        if time.monotonic() >= until:
            context.log.error("not_routed", service=route.service, waited=context.limits.hold, error=problem)
            yield from _answer(client, fatal_alert(Alert.INTERNAL_ERROR))
            return None
        woken = yield Wait(client, select.EPOLLRDHUP, again, table=True)
        if woken is Woken.EVENT and _has_ended(client):
            raise Ended("the client did not wait")


def _reach(route: Route, hello: Hello, until: float, context: Context) -> Generator[Wait, Woken, Routed]:
    """The server of ``route`` with the fewest connections, another one if that cannot be had. Raises OSError when none
    can."""
    problem: OSError = ConnectionError("it has no server")
    others = len(route.servers)
    for address in context.live.least_loaded_first(route.servers):
        others -= 1
        patience = min(until, time.monotonic() + PATIENCE_SECONDS) if others else until
        try:
            with context.live.dialling(address):
                server = yield from _dial(address, hello, patience, context.limits.peer)
        except OSError as error:
            problem = error
            context.log.warning("dial_failed", service=route.service, port=address[1], error=str(error))
            continue
        # The table may have been replaced meanwhile, and connections that it misroutes closed: this one was not yet
        # among them.
        if context.table.leads_to(route.service, address):
            return Routed(route.service, address, server)
        server.close()
        problem = ConnectionError("it has moved to another server")
    raise problem


def _dial(address: Address, hello: Hello, until: float, peer: float) -> Generator[Wait, Woken, socket.socket]:
    """A connection to a server that has got the ClientHello. Raises OSError."""
    server = new_socket(address[0])
    try:
        keep_alive(server, peer)
        yield from connect(server, address, until)
        if not hello.direct:
            yield from send(server, SSL_REQUEST, until)
            answer = yield from receive(server, 1, until)
            if answer != b"S":
                raise ConnectionError(f"the server answered {answer!r} to an SSLRequest")
        yield from send(server, hello.received, until)
    except BaseException:
        server.close()
        raise
    return server


def _has_ended(client: socket.socket) -> bool:
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(0))
