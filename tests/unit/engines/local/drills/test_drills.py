"""What the drills of an archive say, told to those who take base backups."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from howdah.backup.archive import open_archive
from howdah.domain.drills import DrillResult
from howdah.domain.ids import TimelineId
from howdah.domain.settings import BackupSettings
from howdah.engines.local.drills import drills as module
from howdah.engines.local.drills.drills import Drills

HOUR = timedelta(hours=1)


@dataclass
class Seeing:
    """As ``BackingUp``, without a base backup."""

    bases: tuple[()] = ()
    seen: asyncio.Queue[DrillResult | None] = field(default_factory=asyncio.Queue[DrillResult | None])

    def see(self, drill: DrillResult | None) -> None:
        self.seen.put_nowait(drill)


@pytest.mark.parametrize("days", [0, 7], ids=["only when asked for", "by the schedule"])
async def test_after_a_start_the_last_one_still_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    monkeypatch.setattr(module, "TICK", 0.01)
    settings = BackupSettings(archive=str(tmp_path / "archive"), drill_interval_days=days)
    archive, timeline, line = open_archive(settings, tmp_path), TimelineId.new(), Seeing()
    now = datetime.now(UTC)
    bad = DrillResult(now - HOUR, now - HOUR, problems=("base.tar.zst is damaged",), needs_base=True)
    archive.timeline(timeline).put_drill(bad)
    # The clock was ahead.
    archive.timeline(timeline).put_drill(DrillResult(now + 24 * HOUR, now + 24 * HOUR))
    archives = SimpleNamespace(
        archive=archive, timelines=lambda: [timeline], line=lambda _: SimpleNamespace(backing_up=line)
    )
    drills = Drills(cast("Any", archives), tmp_path / "pool", {}, settings)
    await drills.start()
    try:
        async with asyncio.timeout(10):
            assert await line.seen.get() == bad
    finally:
        await drills.close()
