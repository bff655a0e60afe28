"""Continuous archiving and restoring with real servers, through the engine alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from engine.local import Asked, ask, query, remove, settle, until
from howdah.domain.backups import RestoreSource
from howdah.domain.ids import TimelineId
from howdah.domain.services import ServiceStatus
from howdah.domain.states import PostgresVersion, ServiceState
from howdah.engines.local.engine import LocalEngine


def archived(version: PostgresVersion = PostgresVersion.V18) -> Asked:
    asked = ask(version)
    return replace(asked, spec=replace(asked.spec, timeline=TimelineId.new()))


def restored_from(source: Asked, target: datetime | None) -> Asked:
    assert source.spec.timeline is not None
    asked = archived(source.spec.postgres_version)
    return replace(asked, spec=replace(asked.spec, source=RestoreSource(source.spec.timeline, target)))


async def backed_up(engine: LocalEngine, asked: Asked, *, within: float = 60) -> ServiceStatus:
    """Once it can be restored."""
    return await until(
        engine, asked, "it can be restored", lambda status: status.earliest_restore is not None, within=within
    )


async def moment(status: ServiceStatus) -> datetime:
    return (await query(status, "SELECT clock_timestamp()"))[0][0].astimezone(UTC)


@pytest.mark.parametrize("version", list(PostgresVersion))
async def test_a_service_is_restored_to_the_moment_before_a_mistake(engine: LocalEngine, version: PostgresVersion):
    source = archived(version)
    status = await settle(engine, source)
    await query(status, "CREATE TABLE kept AS SELECT 1 AS n")
    await backed_up(engine, source)
    await query(status, "INSERT INTO kept VALUES (2)")
    before = await moment(status)
    await query(status, "DROP TABLE kept")

    copy = restored_from(source, before)
    seen: list[ServiceState | None] = []

    def ready(status: ServiceStatus) -> bool:
        seen.append(status.restoring)
        return status.ready

    restored = await until(engine, copy, "it is restored", ready)

    assert await query(restored, "SELECT n FROM kept ORDER BY n") == [(1,), (2,)]
    assert ServiceState.RESTORING_BACKUP in seen
    assert await query(restored, "SELECT pg_is_in_recovery()") == [(False,)]
    with pytest.raises(Exception, match="kept"):
        await query(status, "SELECT n FROM kept")
    await remove(engine, copy)
    await remove(engine, source)
