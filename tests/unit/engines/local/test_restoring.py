"""Restorations under way hold what they need, until they are over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from howdah.backup.errors import StoreError
from howdah.domain.backups import RestoreSource
from howdah.domain.ids import ServiceId, TimelineId
from howdah.engines.local.restoring import Restorations


class OutOfReach:
    def line(self, _timeline: TimelineId) -> None:
        raise StoreError("the archive is out of reach")


async def test_backups_stay_between_two_tries(tmp_path: Path) -> None:
    archives: Any = OutOfReach()
    programs: Any = None
    restorations, service, source = Restorations(archives, tmp_path), ServiceId.new(), TimelineId.new()
    assert not restorations.reads(source)
    with pytest.raises(StoreError):
        await restorations.step(service, RestoreSource(source, None), programs)
    assert restorations.reads(source)
    assert not restorations.reads(TimelineId.new())
    assert await restorations.abandon(service)
    assert not restorations.reads(source)
