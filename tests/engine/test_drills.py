"""Drills with real servers: what is well passes, what is planted is found, and nothing is left."""

from __future__ import annotations

import asyncio
import time

import pytest

from engine.archived import archived, backed_up, timeline
from engine.local import Asked, Rig, query
from howdah.domain.drills import DrillResult
from howdah.domain.states import PostgresVersion
from howdah.engines.local.engine import LocalEngine


async def drilled(rig: Rig, engine: LocalEngine, asked: Asked, *, within: float = 120) -> DrillResult:
    """What a drill finds, once nothing of it is left."""
    began = await engine.drill(timeline(asked))
    end = time.monotonic() + within
    while (found := await engine.drills(timeline(asked))).under_way is not None:
        assert found.under_way.problem is None, found.under_way.problem
        assert time.monotonic() < end, f"not done within {within} s: {found.under_way}"
        await asyncio.sleep(0.05)
    result = found.results[0]
    assert result.started_at == began
    left = [path.name for path in (rig.layout.pool / "drills").iterdir()]
    assert left == [], "what was restored is left"
    return result


@pytest.mark.parametrize("version", list(PostgresVersion))
async def test_a_good_backup_passes_and_says_what_was_checked(rig: Rig, engine: LocalEngine, version: PostgresVersion):
    source = archived(version)
    status = await backed_up(engine, source)
    await query(status, "CREATE TABLE kept AS SELECT n FROM generate_series(1, 1000) n")
    await query(status, "CREATE INDEX ON kept (n)")
    result = await drilled(rig, engine, source)
    print(result)
    assert result.problems == ()
