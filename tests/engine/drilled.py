"""Drills for tests: begun, followed to their end, and what is left of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from engine.archived import archive_is, backed_up, timeline
from engine.local import QUICK_PROBE, Asked, Rig, query, settle
from howdah.domain.drills import DrillResult
from howdah.domain.services import ServiceStatus
from howdah.domain.settings import BackupSettings
from howdah.engines.local.engine import LocalEngine


async def done(rig: Rig, engine: LocalEngine, asked: Asked, *, within: float = 120) -> DrillResult:
    """What the drill that is under way finds, once nothing of it is left."""
    end = time.monotonic() + within
    while (found := await engine.drills(timeline(asked))).under_way is not None:
        assert found.under_way.problem is None, found.under_way.problem
        assert time.monotonic() < end, f"not done within {within} s: {found.under_way}"
        await asyncio.sleep(0.05)
    assert (left(rig), servers(rig)) == ([], []), "something is left of a drill"
    return found.results[0]


async def drilled(rig: Rig, engine: LocalEngine, asked: Asked) -> DrillResult:
    began = await engine.drill(timeline(asked))
    result = await done(rig, engine, asked)
    assert result.started_at == began
    return result


def left(rig: Rig) -> list[str]:
    """What lies where drills are done."""
    place = rig.layout.pool / "drills"
    return [path.name for path in place.iterdir()] if place.is_dir() else []


def servers(rig: Rig) -> list[int]:
    """The processes that work there."""
    place = f"{rig.layout.pool}/drills"
    return [pid for pid in rig.processes() if os.readlink(f"/proc/{pid}/cwd").startswith(place)]


async def with_rows(engine: LocalEngine, asked: Asked) -> ServiceStatus:
    """A backup of it has a table of some pages, and its index."""
    status = await backed_up(engine, asked)
    await query(status, "CREATE TABLE kept AS SELECT n, 'some text' AS words FROM generate_series(1, 5000) n")
    await query(status, "CREATE INDEX kept_n ON kept (n)")
    asked = replace(asked, spec=replace(asked.spec, backup=1))
    await settle(engine, asked)
    await archive_is(engine, asked, "a backup with the table", lambda status: len(status.bases) == 2)
    return status


@asynccontextmanager
async def full_backups_only() -> AsyncIterator[tuple[Rig, LocalEngine]]:
    rig = Rig(backup=BackupSettings(chain=0))
    try:
        async with rig.engine(QUICK_PROBE) as engine:
            yield rig, engine
    finally:
        rig.clean()


async def path_of(status: ServiceStatus, relation: str) -> str:
    return (await query(status, f"SELECT pg_relation_filepath('{relation}')"))[0][0]
