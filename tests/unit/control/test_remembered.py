"""Answers that are asked for once, however many want them."""

from __future__ import annotations

import asyncio

import pytest

from howdah.control.remembered import Remembered


class Source:
    """Answers with how often it was asked, when ``ready`` is set."""

    def __init__(self) -> None:
        self.asked = 0
        self.ready = asyncio.Event()
        self.ready.set()
        self.broken = False

    async def __call__(self, key: str) -> str:
        self.asked += 1
        await self.ready.wait()
        if self.broken:
            raise RuntimeError(key)
        return f"{key}{self.asked}"


async def test_an_answer_is_given_again_while_it_is_fresh() -> None:
    source = Source()
    remembered = Remembered(source, 60)
    assert [await remembered.get("a"), await remembered.get("a"), await remembered.get("b")] == ["a1", "a1", "b2"]


async def test_an_old_answer_is_asked_for_anew_and_forgotten() -> None:
    source = Source()
    remembered = Remembered(source, 0)
    assert [await remembered.get("a"), await remembered.get("b"), await remembered.get("a")] == ["a1", "b2", "a3"]
    assert len(remembered._answers) == 1


async def test_those_who_ask_at_the_same_time_share_an_answer_and_who_leaves_takes_it_from_nobody() -> None:
    source = Source()
    source.ready.clear()
    remembered = Remembered(source, 0)
    first, second = (asyncio.create_task(remembered.get("a")) for _ in range(2))
    while not source.asked:
        await asyncio.sleep(0)
    first.cancel()
    source.ready.set()
    assert await second == "a1"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_an_error_is_told_and_asked_again() -> None:
    source = Source()
    source.broken = True
    remembered = Remembered(source, 60)
    with pytest.raises(RuntimeError):
        await remembered.get("a")
    source.broken = False
    assert await remembered.get("a") == "a2"
