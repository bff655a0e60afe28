"""What every action works with: this machine's directories, programs, and what is known of the running servers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from howdah.domain.instances import InstanceRegistry
from howdah.domain.memory import Profile
from howdah.domain.states import PostgresVersion
from howdah.engines.local.allocation import Allocation
from howdah.engines.local.binaries import Binaries
from howdah.engines.local.pool import Pool
from howdah.engines.local.watch import Watch
from howdah.launcher.client import Launcher
from howdah.launcher.layout import Layout

PARALLEL_SEEDS = 4
PARALLEL_STARTS = 4


@dataclass(frozen=True, slots=True)
class Machine:
    """operator: the OS user whose local connections manage the servers. profile: the memory that they get.
    seeds, starts: bound how many are seeded and started at once, so that of many creates the first are ready early.
    """

    layout: Layout
    registry: InstanceRegistry
    launcher: Launcher
    allocation: Allocation
    watch: Watch
    operator: str
    profile: Profile
    binaries: Mapping[PostgresVersion, Binaries]
    pools: Mapping[PostgresVersion, Pool]
    seeds: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARALLEL_SEEDS))
    starts: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARALLEL_STARTS))
