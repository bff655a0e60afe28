"""What drills found, told as activities of the services whose backups they restored."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import Connection

from howdah.domain.activities import SYSTEM, Activity, ActivityType, Deed
from howdah.domain.drills import DrillResult
from howdah.domain.ids import TimelineId
from howdah.domain.moments import text
from howdah.store import activities, services
from howdah.store.store import Store


class StoredDrills:
    """The ``DrillJournal`` of the local engine."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def ended(self, timeline: TimelineId, result: DrillResult) -> None:
        def write(connection: Connection) -> None:
            if (service := services.of_timeline(connection, timeline)) is not None:
                deed = Deed(ActivityType.DRILL_END, _found(result), service.id)
                activities.add(connection, Activity(uuid4(), result.finished_at, service.organization, SYSTEM, deed))

        await self._store.write(write)


def _found(result: DrillResult) -> str:
    began = f"begun at {text(result.started_at)}"
    if not result.ok:
        return f"{began}, it found: {'; '.join(result.problems)}"
    but = "" if result.not_compared is None else f"; no rows compared: {result.not_compared}"
    did = f"{result.data_bytes} bytes restored, {result.relations} tables and indexes checked"
    return f"{began}, all is well: {did}{but}"
