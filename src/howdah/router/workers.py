"""Several processes that serve the same port: this one starts them, starts them again when they die, and serves nobody
itself.

The kernel spreads new clients over their listeners (SO_REUSEPORT). Listeners stay open here as well, so that clients
of a worker that has died wait in its queue for the next one.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from howdah.router.census import Census
from howdah.router.claim import Claim
from howdah.router.handover import SIDES, sockets_of
from howdah.router.live import LiveConnections
from howdah.router.log import Log
from howdah.router.loop import RENEW_SECONDS, Router, Told
from howdah.router.passing import receive_pairs, send_pairs
from howdah.router.session import Context, Limits
from howdah.router.table import RouteTable
from howdah.router.tally import Tally

LEAVE_SECONDS = 3.0
"""For a worker to end, or to hand its connections over, beyond what it waits for clients."""
STEADY_SECONDS = 1.0
"""A worker that dies sooner is started again only when this is over."""
LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Worker:
    number: int
    pid: int
    channel: socket.socket
    started: float


class Workers:
    """``listeners``: those of each worker; ``tallies``: its file."""

    def __init__(
        self,
        listeners: Sequence[Sequence[socket.socket]],
        table: RouteTable,
        limits: Limits,
        tallies: Sequence[Path],
        claim: Claim,
        log: Log,
    ) -> None:
        self._listeners = listeners
        self._table = table
        self._limits = limits
        self._tallies = tallies
        self._claim = claim
        self._log = log
        self._pairs: list[dict[str, Any]] = []
        self._workers: dict[int, _Worker] = {}
        self._due: dict[int, float] = {}

    def revive(self, pairs: Sequence[dict[str, Any]]) -> None:
        """Takes over the connections that the program before has left."""
        self._pairs = list(pairs)

    def pairs(self) -> list[dict[str, Any]]:
        """The connections of all workers, when those have been told to end for a new program."""
        return self._pairs

    def run(self, wake: socket.socket) -> Told:
        """Until ``wake`` has the number of a signal, as ``Router.run``."""
        self._start_all()
        wake.setblocking(False)
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        while (told := self._told(wake)) is None:
            self._start_due()
            poll.poll(LOOK_SECONDS * 1000)
        if told is Told.RENEW:
            self._collect()
        self._end_all()
        return told

    def _told(self, wake: socket.socket) -> Told | None:
        try:
            numbers = wake.recv(64)
        except BlockingIOError:
            numbers = b""
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            return Told.STOP
        if signal.SIGHUP in numbers:
            return Told.RENEW
        self._bury_dead()
        if self._claim.is_lost(time.monotonic()) and not self._census.all_clients():
            self._log.warning("abandoned")
            return Told.STOP
        return None

    def _start_all(self) -> None:
        count = len(self._listeners)
        self._census = Census(count, max(self._limits.connections, len(self._pairs)))
        pairs, self._pairs = self._pairs, []
        for number in range(count):
            self._start(number, pairs)
        for handle in sockets_of(pairs):
            os.close(handle)

    def _start(self, number: int, pairs: Sequence[dict[str, Any]] = ()) -> None:
        """It gets its share of ``pairs``. Where there is no process or file to be had now, it is tried again."""
        try:
            ours, its = socket.socketpair()
            pid = os.fork()
        except OSError as error:
            self._log.error("worker_not_started", worker=number, error=str(error))
            self._due[number] = time.monotonic() + STEADY_SECONDS
            return
        if not pid:
            ours.close()
            self._be_worker(number, its, pairs)
        its.close()
        self._workers[number] = _Worker(number, pid, ours, time.monotonic())

    def _be_worker(self, number: int, channel: socket.socket, pairs: Sequence[dict[str, Any]]) -> NoReturn:
        log = Log(worker=number)
        status = 1
        try:
            for name in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
                signal.signal(name, signal.SIG_IGN)  # told by the channel, which also ends with the first process
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._close_what_is_others(number, pairs)
            live = LiveConnections(self._census.seat(number))
            tally = Tally(self._tallies[number], log)
            router = Router(self._listeners[number], Context.of(self._table, live, self._limits, log), tally)
            router.revive(pairs[number :: len(self._listeners)])
            if router.run(channel) is Told.RENEW:
                send_pairs(channel, router.pairs())
            status = 0
        except BaseException:  # noqa: BLE001  # this process ends here, whatever has happened
            log.error("worker_failed", traceback=traceback.format_exc())
        os._exit(status)

    def _close_what_is_others(self, number: int, pairs: Sequence[dict[str, Any]]) -> None:
        for worker in self._workers.values():
            worker.channel.close()
        for other, listeners in enumerate(self._listeners):
            for listener in listeners if other != number else ():
                listener.close()
        for index, pair in enumerate(pairs):
            for side in SIDES if index % len(self._listeners) != number else ():
                os.close(pair[side]["fd"])

    def _bury_dead(self) -> None:
        for worker in tuple(self._workers.values()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self._log.error("worker_ended", worker=worker.number, pid=pid, exit_status=code)
                self._forget(worker)
                self._due[worker.number] = worker.started + STEADY_SECONDS

    def _forget(self, worker: _Worker) -> None:
        worker.channel.close()
        del self._workers[worker.number]
        self._census.forget(worker.number)

    def _start_due(self) -> None:
        for number, due in tuple(self._due.items()):
            if time.monotonic() >= due:
                del self._due[number]
                self._start(number)

    def _collect(self) -> None:
        """Has the workers end and leave their connections here."""
        for worker in self._workers.values():
            with suppress(OSError):
                worker.channel.send(bytes([signal.SIGHUP]))
        until = time.monotonic() + RENEW_SECONDS + LEAVE_SECONDS
        for worker in self._workers.values():
            try:
                self._pairs += receive_pairs(worker.channel, until)
            except (OSError, ValueError) as error:
                self._log.error("worker_lost", worker=worker.number, pid=worker.pid, error=str(error))
                os.kill(worker.pid, signal.SIGKILL)

    def _end_all(self) -> None:
        for worker in self._workers.values():
            worker.channel.close()
        until = time.monotonic() + LEAVE_SECONDS
        for worker in tuple(self._workers.values()):
            if not _has_ended(worker.pid, until):
                os.kill(worker.pid, signal.SIGKILL)
                os.waitpid(worker.pid, 0)
            del self._workers[worker.number]
        self._due.clear()


def _has_ended(pid: int, until: float) -> bool:
    handle = os.pidfd_open(pid)  # not reaped yet, so it is that process
    ended, _, _ = select.select([handle], [], [], max(0.0, until - time.monotonic()))
    os.close(handle)
    if ended:
        os.waitpid(pid, 0)
    return bool(ended)
