"""What is old goes, but for as long as something is made of it, and not by a clock that was set ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from howdah.backup.retention import Expendable
from howdah.domain.ids import TimelineId
from howdah.domain.settings import BackupSettings
from howdah.engines.local.archiving import upkeep
from howdah.engines.local.archiving.backing_up import Shared
from howdah.engines.local.archiving.upkeep import JUMP_SECONDS, Upkeep


@dataclass
class Place:
    """An archive of which everything is old, and what was asked of it."""

    id: TimelineId = field(default_factory=TimelineId.new)
    forgotten: int = 0

    def forget(self, _old: Expendable) -> None:
        self.forgotten += 1

    def forget_unfinished(self, since: datetime | None) -> None: ...


@dataclass
class Watch:
    """Hours that the clock was set ahead since it was right."""

    hours: float = 0.0

    def __call__(self) -> float:
        return 1_000_000 + self.hours * 3600


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    made = Watch()
    monkeypatch.setattr(upkeep, "_clock", made)
    monkeypatch.setattr(upkeep, "FIRST_SECONDS", 0)
    monkeypatch.setattr(upkeep, "EVERY_SECONDS", 0)
    monkeypatch.setattr(upkeep, "contents", lambda _: None)
    monkeypatch.setattr(upkeep, "broken", lambda _: None)
    monkeypatch.setattr(upkeep, "expendable", lambda *_: Expendable(("old",), ()))
    return made


def looking(place: Place, is_read: Callable[[TimelineId], bool] = lambda _: False) -> Upkeep:
    shared = Shared(BackupSettings(), asyncio.Semaphore(), asyncio.Semaphore(), is_read)

    class Collects:
        gap_open = False

    archive: Any = place
    collector: Any = Collects()
    return Upkeep(archive, collector, asyncio.Lock(), shared, timedelta(days=7))


async def test_what_is_old_goes(watch: Watch) -> None:
    place = Place()
    assert await looking(place).look(datetime.now(UTC)) == Expendable(("old",), ())
    assert place.forgotten == 1


async def test_nothing_goes_while_something_is_made_from_it(watch: Watch) -> None:
    place = Place()
    reading = True
    upkeeping = looking(place, lambda timeline: timeline == place.id and reading)
    assert await upkeeping.look(None) == Expendable()
    reading = False
    await upkeeping.look(None)
    assert place.forgotten == 1


@pytest.mark.fault(
    what="The clock is set ahead, by a year for instance, while Howdah runs",
    then="No backup is deleted for that",
)
async def test_nothing_goes_by_a_clock_that_was_set_ahead_until_it_is_right(watch: Watch) -> None:
    place = Place()
    upkeeping = looking(place)
    watch.hours = 24 * 365
    assert await upkeeping.look(None) == Expendable()
    watch.hours = JUMP_SECONDS / 3600
    await upkeeping.look(None)
    watch.hours = -48
    await upkeeping.look(None)
    assert place.forgotten == 2


async def test_it_is_not_looked_before_it_is_time(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "FIRST_SECONDS", 600)
    place = Place()
    upkeeping = looking(place)
    assert 500 < upkeeping.wait < 1300
    assert await upkeeping.look(None) == Expendable()
    assert place.forgotten == 0
