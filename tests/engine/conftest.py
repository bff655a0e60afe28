from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from engine.local import QUICK_PROBE, Rig
from howdah.engines.local.engine import LocalEngine


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.clean()


@pytest.fixture
async def engine(rig: Rig) -> AsyncIterator[LocalEngine]:
    """A started engine that probes its servers often."""
    async with rig.engine(QUICK_PROBE) as started:
        yield started
