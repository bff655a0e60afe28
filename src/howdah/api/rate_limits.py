"""How many requests each key may send: a number in windows of ten seconds, the first of which begins with a request."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

WINDOW_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left to a key. ``reset``: seconds until it has ``limit`` again. ``exceeded``: this request is one too
    many."""

    limit: int
    remaining: int
    reset: float
    exceeded: bool

    def headers(self) -> list[tuple[bytes, bytes]]:
        found = [
            (b"x-ratelimit-limit", str(self.limit).encode()),
            (b"x-ratelimit-remaining", str(self.remaining).encode()),
            (b"x-ratelimit-reset", f"{self.reset:.3f}".encode()),
        ]
        if self.exceeded:
            found.append((b"retry-after", str(max(1, math.ceil(self.reset))).encode()))
        return found


@dataclass(slots=True)
class _Window:
    began: float
    count: int = 0


class RateLimits:
    """Of every key: one window, forgotten once it is over. ``limit``: requests per window; 0 is no limit."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        # in the order of their beginnings, since a key's next window is put at the end
        self._windows: dict[UUID, _Window] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def count(self, key: UUID) -> Allowance | None:
        """Counts one request of ``key``; None without a limit."""
        if self._limit == 0:
            return None
        now = self._clock()
        self._forget(now)
        window = self._windows.setdefault(key, _Window(now))
        exceeded = window.count >= self._limit
        if not exceeded:
            window.count += 1
        reset = window.began + WINDOW_SECONDS - now
        return Allowance(self._limit, self._limit - window.count, reset, exceeded)

    def _forget(self, now: float) -> None:
        while self._windows:
            oldest = next(iter(self._windows))
            if self._windows[oldest].began + WINDOW_SECONDS > now:
                return
            del self._windows[oldest]
