"""Answers that are asked for once, however many want them at the same time or shortly after."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """``ask``: for a key that was not asked for within ``seconds``. One that raises is asked again."""

    def __init__(self, ask: Callable[[K], Awaitable[V]], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._answers: dict[K, tuple[float, asyncio.Task[V]]] = {}
        self._forget_at = 0.0

    async def get(self, key: K) -> V:
        """Raises what ``ask`` raises. Who is cancelled takes the answer from nobody else."""
        now = asyncio.get_running_loop().time()
        found = self._answers.get(key)
        if found is None or not self._is_good(found, now):
            self._forget_old(now)
            found = self._answers[key] = now, asyncio.create_task(self._asked(key))
        return await asyncio.shield(found[1])

    async def _asked(self, key: K) -> V:
        return await self._ask(key)

    def _forget_old(self, now: float) -> None:
        """Not at each question: those of a whole fleet come at once."""
        if now >= self._forget_at:
            self._forget_at = now + self._seconds
            self._answers = {key: one for key, one in self._answers.items() if self._is_good(one, now)}

    def _is_good(self, answer: tuple[float, asyncio.Task[V]], now: float) -> bool:
        then, task = answer
        if not task.done():
            return True
        return now - then <= self._seconds and not task.cancelled() and task.exception() is None
