"""Archived services for tests, and what their tests ask again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from engine.local import Asked, Rig, ask, query, remove, settle, until
from howdah.domain.backups import ArchiveStatus, RestoreSource
from howdah.domain.ids import TimelineId
from howdah.domain.services import ServiceStatus
from howdah.domain.states import PostgresVersion
from howdah.engines.local.archiving.spool import Spool
from howdah.engines.local.engine import LocalEngine
from howdah.launcher.processes import all_pids, inspect_process


def archived(version: PostgresVersion = PostgresVersion.V18) -> Asked:
    asked = ask(version)
    return replace(asked, spec=replace(asked.spec, timeline=TimelineId.new()))


def restored_from(source: Asked, target: datetime | None) -> Asked:
    """What the control plane would ask for to restore ``source``; None: all that it has committed."""
    asked = archived(source.spec.postgres_version)
    return replace(asked, spec=replace(asked.spec, source=RestoreSource(timeline(source), target)))


def timeline(asked: Asked) -> TimelineId:
    assert asked.spec.timeline is not None
    return asked.spec.timeline


def spool(rig: Rig, asked: Asked) -> Spool:
    return Spool(rig.layout.state / "spool" / timeline(asked).ubid)


async def backed_up(engine: LocalEngine, asked: Asked) -> ServiceStatus:
    """Running, and with a moment to which it can be restored."""
    await settle(engine, asked)
    return await until(engine, asked, "it can be restored", lambda status: status.earliest_restore is not None)


async def moment(status: ServiceStatus) -> datetime:
    """Now, as the server sees it: all that was committed before is at or before it."""
    return (await query(status, "SELECT clock_timestamp()"))[0][0].astimezone(UTC)


async def archive_is(
    engine: LocalEngine, asked: Asked, what: str, test: Callable[[ArchiveStatus], Any], *, within: float = 60
) -> ArchiveStatus:
    end = time.monotonic() + within
    while not test(status := await engine.archive_status(timeline(asked))):
        assert time.monotonic() < end, f"{what}: not within {within} s; last: {status}"
        await asyncio.sleep(0.05)
    return status


async def rows_restored(
    engine: LocalEngine, source: Asked, target: datetime | None, sql: str = "SELECT n FROM kept ORDER BY n"
) -> list[Any]:
    """The first column of what a service that is restored from ``source`` says; it is removed again."""
    copy = restored_from(source, target)
    status = await settle(engine, copy)
    try:
        return [row[0] for row in await query(status, sql)]
    finally:
        await remove(engine, copy)


def receivers(rig: Rig, asked: Asked) -> list[int]:
    """The pids of those that receive for it."""
    wanted = f"--directory={spool(rig, asked).wal}"
    found = ((pid, inspect_process(pid)) for pid in all_pids())
    return [pid for pid, facts in found if facts is not None and wanted in facts.arguments]
