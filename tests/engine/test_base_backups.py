"""Base backups of real servers, as an engine tells of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from engine.local import ask, remove, settle, until
from howdah.domain.backups import BaseBackup
from howdah.domain.ids import TimelineId
from howdah.engines.local.archiving import backing_up
from howdah.engines.local.engine import LocalEngine


async def test_a_backup_is_told_of_everywhere_at_once(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch):
    taken, go_on = asyncio.Event(), asyncio.Event()
    take_base = backing_up.take_base

    async def take_and_wait(*arguments: Any, **more: Any) -> BaseBackup:
        base = await take_base(*arguments, **more)
        taken.set()
        await go_on.wait()
        return base

    timeline, asked = TimelineId.new(), ask()
    asked = replace(asked, spec=replace(asked.spec, timeline=timeline))
    await settle(engine, asked)
    await until(engine, asked, "its first backup", lambda status: status.earliest_restore is not None, within=60)
    monkeypatch.setattr(backing_up, "take_base", take_and_wait)
    asked = replace(asked, spec=replace(asked.spec, backup=1))
    await settle(engine, asked)
    async with asyncio.timeout(60):
        await taken.wait()

    async def told() -> list[list[int]]:
        everywhere = (await engine.backups(timeline), (await engine.archive_status(timeline)).bases)
        return [[base.request for base in bases] for bases in everywhere]

    before = await told()
    go_on.set()
    async with asyncio.timeout(10):
        while len(await engine.backups(timeline)) == 1:
            await asyncio.sleep(0.01)
    after = await told()
    await remove(engine, asked)
    assert (before, after) == ([[0], [0]], [[0, 1], [0, 1]])
