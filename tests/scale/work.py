"""How much work something is, counted instead of timed: what it costs does not depend on the machine."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from howdah.store.store import Store

TRIES = 15
"""Whatever else runs on the loop is counted too; the least of so many tries has none of it."""


@dataclass(frozen=True)
class Work:
    """Calls in Python, and instructions of SQLite's virtual machine."""

    calls: int
    instructions: int

    def is_about(self, other: Work) -> bool:
        """Within two, and two in a hundred: where in its pages SQLite finds a row costs an instruction more or less."""
        return _near(self.calls, other.calls) and _near(self.instructions, other.instructions)


def _near(one: int, other: int) -> bool:
    return abs(one - other) <= 2 + max(one, other) // 50


async def work_of(store: Store, do: Callable[[], Awaitable[object]]) -> Work:
    await do()  # What is compiled once is no part of it.
    tries = [await _once(store, do) for _ in range(TRIES)]
    return Work(min(one.calls for one in tries), min(one.instructions for one in tries))


async def _once(store: Store, do: Callable[[], Awaitable[object]]) -> Work:
    calls = instructions = 0

    def called(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    def instructed() -> int:
        nonlocal instructions
        instructions += 1
        return 0

    with _instructed(store, instructed):
        sys.setprofile(called)
        try:
            await do()
        finally:
            sys.setprofile(None)
    return Work(calls, instructions)


@contextmanager
def _instructed(store: Store, instructed: Callable[[], int]) -> Generator[None]:
    store._reader.set_progress_handler(instructed, 1)
    try:
        yield
    finally:
        store._reader.set_progress_handler(None, 1)
