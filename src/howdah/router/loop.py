"""The loop: accepts clients, runs their sessions, hands routed ones to ``splice``, watches time and the route table."""

from __future__ import annotations

import errno
import signal
import socket
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from select import EPOLLIN
from typing import Any

from howdah.router.claim import Claim
from howdah.router.handover import described, revive
from howdah.router.live import client_address
from howdah.router.poller import Poller
from howdah.router.session import Context, Routed, Session, refuse_overload, session
from howdah.router.splice import Pair
from howdah.router.tally import Tally
from howdah.router.waits import Wait, Woken

TABLE_SECONDS = 0.01
"""How often the route table is looked at while somebody waits for it."""
SESSION_SECONDS = 0.1
"""How exact the time limits of sessions are."""
IDLE_SECONDS = 0.5
ACCEPTS = 16
"""New clients taken per round, so that the connected ones are served in between."""
PAUSE_SECONDS = 0.1
"""How long nobody is accepted when file descriptors have run out."""
RENEW_SECONDS = 1.0
"""For clients that are not connected to their service yet, before the router goes on in a new program."""
SEARCHES = 4
"""How often vanished peers are searched for in the time after which they are taken for gone."""
TOO_SLOW = 1 / 12
"""Of the time that a client has to say where it goes: from then on it makes room when there is none for others."""
REFUSALS = 64
"""Clients beyond the limit that are told so; more are closed without a word."""


class Told(Enum):
    """Why the loop has ended."""

    STOP = "stop"
    RENEW = "renew"


@dataclass(eq=False, slots=True)
class _Running:
    """A session and what it waits for at present."""

    client: socket.socket
    address: str
    steps: Session
    since: float
    refused: bool = False
    wait: Wait | None = None
    watched: int = -1


class Router:
    """``claim``: what it loses when nobody could find it any more; a worker's is looked after by who started it."""

    def __init__(
        self, listeners: Sequence[socket.socket], context: Context, tally: Tally, claim: Claim | None = None
    ) -> None:
        self._listeners = listeners
        self._context = context
        self._tally = tally
        self._claim = claim
        self._poller = Poller()
        self._sessions: dict[_Running, None] = {}  # the oldest first
        self._next_round = 0.0
        self._accept_again = 0.0
        self._next_search = 0.0
        self._generation = 0
        self._told: Told | None = None
        self._renew_by = 0.0

    def revive(self, pairs: Sequence[dict[str, Any]]) -> None:
        """Takes over the connections that the program before has left."""
        revive(pairs, self._poller, self._context.live)

    def pairs(self) -> list[dict[str, Any]]:
        """The connections, for the program that goes on with them."""
        return [described(pair) for pair in self._context.live]

    def run(self, wake: socket.socket) -> Told:
        """Until ``wake`` has the number of a signal: SIGHUP to be renewed, another to stop. Renewed: the listeners and
        the connections are open still, and this can be called again."""
        self._told, self._renew_by = None, 0.0
        self._poller.watch(wake.fileno(), EPOLLIN, partial(self._signalled, wake))
        self._listen()
        while not self._is_done():
            now = time.monotonic()
            if now >= self._next_round:
                self._next_round = now + self._round(now)
            self._poller.wait(max(0.0, self._next_round - now))
        self._end_sessions()
        self._tell(time.monotonic())
        if not self._renew_by:
            self._close()
            return Told.STOP
        return Told.RENEW

    def _is_done(self) -> bool:
        if self._told is Told.RENEW:
            return not self._sessions or time.monotonic() >= self._renew_by
        return self._told is Told.STOP

    def _signalled(self, wake: socket.socket, _events: int) -> None:
        if signal.SIGHUP not in wake.recv(16):
            self._told, self._renew_by = Told.STOP, 0.0
        elif self._told is None:
            self._told = Told.RENEW
            self._renew_by = time.monotonic() + RENEW_SECONDS
            self._accept_again = 0.0
            self._unlisten()  # new clients wait in the listeners' queues meanwhile

    def _listen(self) -> None:
        for listener in self._listeners:
            self._poller.watch(listener.fileno(), EPOLLIN, partial(self._accept, listener))

    def _unlisten(self) -> None:
        for listener in self._listeners:
            self._poller.forget(listener.fileno())

    def _end_sessions(self) -> None:
        for running in tuple(self._sessions):
            if running.watched >= 0:
                self._poller.forget(running.watched)
            running.steps.close()
            running.client.close()
            self._context.live.depart()
        self._sessions.clear()

    def _close(self) -> None:
        self._unlisten()
        for listener in self._listeners:
            listener.close()
        for pair in self._context.live:
            pair.close()
        self._poller.close()

    def _round(self, now: float) -> float:
        """What is due by time. Returns the seconds until the next round."""
        self._context.table.refresh()
        changed = self._context.table.generation != self._generation
        if changed:
            self._generation = self._context.table.generation
            self._context.live.forget(self._context.table.is_gone)
            if closed := self._context.live.close_misrouted(self._context.table.leads_to):
                self._context.log.info("closed_misrouted", connections=closed)
        if now >= self._next_search:
            self._next_search = now + self._context.limits.peer / SEARCHES
            if closed := self._context.live.close_vanished(self._context.limits.peer):
                self._context.log.info("closed_vanished", connections=closed)
        if self._tally.is_due(now):
            self._tell(now)
        if self._claim is not None and self._claim.is_lost(now) and not self._context.live.clients():
            self._context.log.warning("abandoned")
            self._told = Told.STOP
        for running in tuple(self._sessions):
            if (wait := running.wait) is None:
                continue
            if now >= wait.until:
                self._step(running, Woken.TIME)
            elif changed and wait.table:
                self._step(running, Woken.TABLE)
        if self._accept_again and now >= self._accept_again:
            self._accept_again = 0.0
            self._listen()
        if any(running.wait is not None and running.wait.table for running in self._sessions):
            return TABLE_SECONDS
        return SESSION_SECONDS if self._sessions or self._accept_again else IDLE_SECONDS

    def _tell(self, now: float) -> None:
        self._tally.tell(now, self._context.live.moved(), self._context.table.is_gone)

    def _accept(self, listener: socket.socket, _events: int) -> None:
        for _ in range(ACCEPTS):
            try:
                client, peer = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._pause(error)
                    return
                continue  # a client that has gone already: accept(2) reports its error here
            client.setblocking(False)
            self._begin(client, client_address(peer[0]))

    def _pause(self, error: OSError) -> None:
        self._context.log.error("cannot_accept", error=str(error), pause=PAUSE_SECONDS)
        self._unlisten()
        self._accept_again = time.monotonic() + PAUSE_SECONDS
        self._round_within(PAUSE_SECONDS)

    def _begin(self, client: socket.socket, address: str) -> None:
        taken, limit = self._context.live.clients(), self._context.limits.connections
        if taken < limit or self._make_room():
            running = _Running(client, address, session(client, address, self._context), time.monotonic())
        elif taken < limit + REFUSALS:
            self._context.log.error("too_many_connections", limit=limit)
            running = _Running(client, address, refuse_overload(client), time.monotonic(), refused=True)
        else:
            client.close()
            return
        self._sessions[running] = None
        self._context.live.arrive()
        self._step(running, None)

    def _make_room(self) -> bool:
        """Closes the oldest client that says too little, so that many of those do not keep others out."""
        latest = time.monotonic() - self._context.limits.handshake * TOO_SLOW
        for running in self._sessions:
            if running.since > latest:
                break
            if not running.refused and running.wait is not None and running.wait.socket is running.client:
                if running.wait.table:
                    continue  # it has said where it wants to go and is kept waiting
                self._context.log.warning("slow_client_dropped", client=running.address)
                self._poller.forget(running.watched)
                running.steps.close()
                self._end(running, None)
                return True
        return False

    def _step(self, running: _Running, woken: Woken | None) -> None:
        """Lets a session go on until it waits again or ends."""
        if running.watched >= 0:
            self._poller.forget(running.watched)  # before the session can close that socket
            running.watched, running.wait = -1, None
        try:
            wait = next(running.steps) if woken is None else running.steps.send(woken)
        except StopIteration as end:
            self._end(running, end.value)
        except OSError as error:
            self._context.log.info("session_ended", client=running.address, error=str(error))
            self._end(running, None)
        except Exception:  # noqa: BLE001  # one client must not end the connections of all others
            self._context.log.error("session_failed", client=running.address, traceback=traceback.format_exc())
            self._end(running, None)
        else:
            running.wait, running.watched = wait, wait.socket.fileno()
            self._poller.watch(running.watched, wait.events, partial(self._wake, running))
            self._round_within(TABLE_SECONDS if wait.table else SESSION_SECONDS)

    def _wake(self, running: _Running, _events: int) -> None:
        self._step(running, Woken.EVENT)

    def _end(self, running: _Running, routed: Routed | None) -> None:
        self._sessions.pop(running)
        if routed is None:
            running.client.close()
            self._context.live.depart()
            return
        live = self._context.live
        pair = Pair(
            running.client,
            routed.server,
            address=running.address,
            service=routed.service,
            server_address=routed.address,
            poller=self._poller,
            ended=live.remove,
        )
        live.add(pair)
        pair.start()

    def _round_within(self, seconds: float) -> None:
        self._next_round = min(self._next_round, time.monotonic() + seconds)
