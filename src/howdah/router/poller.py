"""The one place that blocks: epoll, and whom to call when a socket is ready."""

from __future__ import annotations

import select
from collections.abc import Callable

Ready = Callable[[int], None]


class Poller:
    """Level-triggered. A socket without wanted events is taken out, because epoll would report hang-ups anyway."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Ready] = {}

    def watch(self, fd: int, events: int, ready: Ready) -> None:
        """From now on call ``ready(events)`` when ``fd`` has any of ``events``; no events: not any more."""
        if not events:
            self.forget(fd)
            return
        if fd in self._ready:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._ready[fd] = ready

    def forget(self, fd: int) -> None:
        """Before the socket is closed."""
        if self._ready.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def wait(self, seconds: float) -> None:
        """Calls those that are ready, at the latest after ``seconds``. A call may be for an earlier socket of the
        same number that was closed by another call of the same round: whoever is called has to bear that."""
        ready = self._ready
        for fd, events in self._epoll.poll(seconds):
            if call := ready.get(fd):
                call(events)

    def close(self) -> None:
        self._epoll.close()
