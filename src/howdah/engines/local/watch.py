"""The servers that run: held by pidfd, so that the death of one is an event; how each last ended; when to try again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from howdah.domain.ids import InstanceId
from howdah.domain.instances import Instance
from howdah.engines.local.children import wal_writer
from howdah.launcher.processes import has_ended
from howdah.launcher.servers import Started

LONGEST_WAIT = 30.0
_FIRST_WAIT = 0.5
_STABLE = 60.0
"""Seconds after which a server counts as having run well: its next crash is a first one again."""

MISSED_PROBES = 2


@dataclass(slots=True)
class _Watched:
    instance: Instance
    pid: int
    started: int
    handle: int
    began: float
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    stop_asked: float | None = None
    missed: int = 0
    writer: int | None = None
    interrupted: bool = False
    opened: bool = False
    crashed: list[float] = field(default_factory=list[float])
    damage: str | None = None


@dataclass(slots=True)
class _History:
    failures: int = 0
    next_try: float = 0.0
    exit: str | None = None
    failed_starts: int = 0
    aside: str | None = None


class Watch:
    """changed: called with an instance whose server ended or whose liveness changed.
    exit_status: how a process ended, where that is known. last_words: the reason of a failed start, from its log.
    is_full: whether the disk is, so that a log may say nothing and no data are to blame."""

    def __init__(
        self,
        changed: Callable[[Instance], None],
        exit_status: Callable[[int], int | None],
        last_words: Callable[[Instance, float], str | None],
        is_full: Callable[[], bool],
    ) -> None:
        self._changed = changed
        self._exit_status = exit_status
        self._last_words = last_words
        self._is_full = is_full
        self._watched: dict[InstanceId, _Watched] = {}
        self._history: dict[InstanceId, _History] = {}

    def hold(self, instance: Instance, process: Started) -> bool:
        """Watch a server of ours. False when it has ended meanwhile."""
        self._release(instance.id)
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return False
        watched = _Watched(instance, process.pid, process.started, handle, time.monotonic())
        self._watched[instance.id] = watched
        asyncio.get_running_loop().add_reader(handle, self._ended, watched)
        return True

    def close(self) -> None:
        for identifier in list(self._watched):
            self._release(identifier)

    def forget(self, identifier: InstanceId) -> None:
        self._release(identifier)
        self._history.pop(identifier, None)

    def held(self) -> list[Instance]:
        return [watched.instance for watched in self._watched.values()]

    def pid(self, identifier: InstanceId) -> int | None:
        watched = self._watched.get(identifier)
        if watched is None:
            return None
        if has_ended(watched.handle):
            self._ended(watched)  # Whoever looks before the event has come sees why, too.
            return None
        return watched.pid

    def process(self, identifier: InstanceId) -> Started | None:
        """What is watched, though it may have ended just now."""
        watched = self._watched.get(identifier)
        return Started(watched.pid, watched.started) if watched is not None else None

    def stop_asked(self, identifier: InstanceId) -> float:
        """Note that we want it to end, so that this is no crash; returns for how many seconds we have wanted it."""
        watched = self._watched[identifier]
        if watched.stop_asked is None:
            watched.stop_asked = time.monotonic()
        return time.monotonic() - watched.stop_asked

    async def ended(self, identifier: InstanceId, limit: float) -> bool:
        """Wait for its end, at most ``limit`` seconds."""
        watched = self._watched.get(identifier)
        if watched is None:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await watched.ended.wait()
        return watched.ended.is_set()

    def probed(self, identifier: InstanceId, *, alive: bool) -> None:
        watched = self._watched.get(identifier)
        if watched is None:
            return
        before = watched.missed >= MISSED_PROBES
        watched.missed = 0 if alive else watched.missed + 1
        if before != (watched.missed >= MISSED_PROBES):
            self._changed(watched.instance)

    def answering(self, identifier: InstanceId) -> bool:
        watched = self._watched.get(identifier)
        return watched is None or watched.missed < MISSED_PROBES

    def follow(self, identifier: InstanceId) -> None:
        """Watch its WAL writer, which runs exactly while the server is open: when a backend crashes the postmaster
        ends all its children and recovers, says nothing of it in postmaster.pid, and refuses clients meanwhile."""
        watched = self._watched.get(identifier)
        if watched is None or watched.writer is not None or (pid := wal_writer(watched.pid)) is None:
            return
        with contextlib.suppress(ProcessLookupError):
            watched.writer = os.pidfd_open(pid)
            watched.interrupted = False
            asyncio.get_running_loop().add_reader(watched.writer, self._interrupted, watched)

    def opened(self, identifier: InstanceId) -> None:
        """Note that it lets clients in: its end is no failed start."""
        if (watched := self._watched.get(identifier)) is not None:
            watched.opened = True

    def has_opened(self, identifier: InstanceId) -> bool:
        watched = self._watched.get(identifier)
        return watched is not None and watched.opened

    def lets_in(self, identifier: InstanceId) -> bool:
        """Whether it let clients in when it was looked at last, and nothing has happened to it since."""
        return self.has_opened(identifier) and not self.recovering(identifier)

    def crashes(self, identifier: InstanceId) -> int:
        """How often in the last minute it began to recover from the crash of one of its processes, though the disk had
        room."""
        watched = self._watched.get(identifier)
        return 0 if watched is None else sum(time.monotonic() - at < _STABLE for at in watched.crashed)

    def damaged(self, identifier: InstanceId, damage: str | None) -> None:
        """Note what of its data directory is gone; None: nothing."""
        watched = self._watched.get(identifier)
        if watched is not None and watched.damage != damage:
            watched.damage = damage
            self._changed(watched.instance)

    def damage(self, identifier: InstanceId) -> str | None:
        watched = self._watched.get(identifier)
        return None if watched is None else watched.damage

    def recovering(self, identifier: InstanceId) -> bool:
        """Whether it lives, and recovers from the crash of one of its processes."""
        watched = self._watched.get(identifier)
        if watched is None:
            return False
        return watched.interrupted or (watched.writer is not None and has_ended(watched.writer))

    def wait(self, identifier: InstanceId) -> float:
        """Seconds until another start may be tried."""
        history = self._history.get(identifier)
        return max(0.0, history.next_try - time.monotonic()) if history else 0.0

    def last_exit(self, identifier: InstanceId) -> str | None:
        history = self._history.get(identifier)
        return history.exit if history else None

    def failed_starts(self, identifier: InstanceId) -> int:
        """How many servers in a row have ended with an error before they let clients in, though the disk had room."""
        history = self._history.get(identifier)
        return history.failed_starts if history else 0

    def put_aside(self, identifier: InstanceId, because: str | None) -> None:
        """Note that it starts without its own settings, and because of what; None: with them."""
        self._history.setdefault(identifier, _History()).aside = because

    def aside(self, identifier: InstanceId) -> str | None:
        """Why it runs without its own settings; None when it has them."""
        history = self._history.get(identifier)
        return history.aside if history else None

    def failed(self, identifier: InstanceId, reason: str, *, ran: float = 0.0) -> None:
        """Note an end that nobody asked for, and when to try again: at once, then ever later."""
        history = self._history.setdefault(identifier, _History())
        history.failures = 1 if ran >= _STABLE else history.failures + 1
        history.exit = reason
        history.next_try = time.monotonic() + restart_delay(history.failures)

    def _ended(self, watched: _Watched) -> None:
        ran = time.monotonic() - watched.began
        code = self._exit_status(watched.pid)
        if watched.stop_asked is None:
            failed, full = code is not None and code > 0, self._is_full()
            said = self._last_words(watched.instance, ran) if failed else None
            said = said or ("the disk is full" if failed and full else None)
            self.failed(watched.instance.id, f"{_words(code)}: {said}" if said else _words(code), ran=ran)
            history = self._history[watched.instance.id]
            if not full:
                history.failed_starts = history.failed_starts + 1 if failed and not watched.opened else 0
        elif history := self._history.get(watched.instance.id):
            history.exit = history.aside = None
            history.failed_starts = 0
        watched.ended.set()
        self._release(watched.instance.id)
        self._changed(watched.instance)

    def _interrupted(self, watched: _Watched) -> None:
        _unfollow(watched)
        watched.interrupted = True
        if not self._is_full():
            watched.crashed = [*watched.crashed[-9:], time.monotonic()]
        if watched.stop_asked is None and not has_ended(watched.handle):
            self._changed(watched.instance)

    def _release(self, identifier: InstanceId) -> None:
        watched = self._watched.pop(identifier, None)
        if watched is None:
            return
        _unfollow(watched)
        asyncio.get_running_loop().remove_reader(watched.handle)
        os.close(watched.handle)


def _unfollow(watched: _Watched) -> None:
    if watched.writer is not None:
        asyncio.get_running_loop().remove_reader(watched.writer)
        os.close(watched.writer)
        watched.writer = None


def restart_delay(failures: int) -> float:
    """Seconds before the next start after that many failures in a row."""
    return 0.0 if failures <= 1 else min(LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(failures - 2, 16))


def _words(code: int | None) -> str:
    if code is None:
        return "the server ended"
    if code < 0:
        return f"the server was killed by {signal.Signals(-code).name}"
    if code == 0:
        return "the server was shut down from inside"
    return f"the server ended with exit status {code}"
