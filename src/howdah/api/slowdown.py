"""Makes those who guess secrets wait, and only them: the answer to a wrong secret comes later with every failure for
that key id or from that address. Whether the key exists makes no difference."""

from __future__ import annotations

import ipaddress
import time
from asyncio import sleep
from collections.abc import Callable
from dataclasses import dataclass

from howdah.domain.errors import TooManyRequests

FREE_FAILURES = 5
FIRST_DELAY = 0.1
LONGEST_DELAY = 2.0
"""Seconds; the delay doubles from one failure to the next."""

FORGOTTEN_AFTER = 60.0
"""Seconds without another failure."""

MOST_REMEMBERED = 10_000
MOST_WAITING = 500
_LONGEST_KEY_ID = 64


@dataclass(slots=True)
class _Failures:
    last: float
    count: int = 0


class Slowdown:
    """``clock``: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # in the order of the last failure, so that the first is the one to forget
        self._failures: dict[str, _Failures] = {}
        self._waiting = 0

    def __len__(self) -> int:
        return len(self._failures)

    async def fail(self, key_id: str, address: str) -> None:
        """Returns when a failed authentication may be answered. Raises TooManyRequests, at once, when too many wait."""
        delay = self.delay_of_failure(key_id, address)
        if not delay:
            return
        if self._waiting >= MOST_WAITING:
            raise TooManyRequests("too many requests with wrong keys are waiting for their answers; send fewer")
        self._waiting += 1
        try:
            await sleep(delay)
        finally:
            self._waiting -= 1

    def delay_of_failure(self, key_id: str, address: str) -> float:
        """Notes a failure; how many seconds its answer has to wait."""
        now = self._clock()
        count = max(
            self._note(f"key {key_id[:_LONGEST_KEY_ID]}", now),
            self._note(f"address {_network(address)}", now),
        )
        if count <= FREE_FAILURES:
            return 0.0
        return min(FIRST_DELAY * 2.0 ** min(count - FREE_FAILURES - 1, 16), LONGEST_DELAY)

    def _note(self, whose: str, now: float) -> int:
        found = self._failures.pop(whose, None)
        if found is None or now - found.last > FORGOTTEN_AFTER:
            found = _Failures(now)
        found.last, found.count = now, found.count + 1
        self._failures[whose] = found
        if len(self._failures) > MOST_REMEMBERED:
            del self._failures[next(iter(self._failures))]
        return found.count


def _network(address: str) -> str:
    """Whom an address stands for: one customer has a whole /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
