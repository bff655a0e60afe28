"""What was done in organizations: read, and forgotten in time; and what was refused, within bounds."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog

from howdah.control.clock import Clock
from howdah.domain.activities import Activity, Actor, Deed, Outcome
from howdah.domain.errors import BadRequest, NotFound, Unavailable
from howdah.store import activities
from howdah.store.store import Store

MOST_REFUSED = 20
"""Refusals that are kept of an organization in a minute: refusing must cost less than asking."""

BATCH = 1000
"""Old activities that are deleted in one transaction: others wait for it, a few milliseconds."""

_MINUTE = timedelta(minutes=1)

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Activities:
    """Those of another organization are NotFound."""

    def __init__(self, store: Store, clock: Clock, retention_days: float) -> None:
        self._store = store
        self._clock = clock
        self._retention = timedelta(days=retention_days)
        self._minute = clock()
        self._refused: dict[UUID, int] = {}

    def get(self, organization: UUID, id: UUID) -> Activity:
        """Raises NotFound."""
        if (found := activities.find(self._store, organization, id)) is None:
            raise NotFound(f"there is no activity {id}")
        return found

    def page(
        self, organization: UUID, *, since: datetime | None, until: datetime | None, after: UUID | None, limit: int
    ) -> list[Activity]:
        """Those between both moments (inclusive), newest first; ``after``: what follows that one. Raises BadRequest."""
        found = activities.page(self._store, organization, since=since, until=until, after=after, limit=limit)
        if found is None:
            raise BadRequest(f"query parameter cursor is {str(after)!a}; it must be the nextCursor of the page before")
        return found

    async def refused(self, organization: UUID, actor: Actor, deed: Deed) -> None:
        """Notes what was not done. Does nothing when there was too much of it, or the store cannot be written."""
        now = self._clock()
        if not _MINUTE > now - self._minute > -_MINUTE:
            self._minute, self._refused = now, {}
        self._refused[organization] = self._refused.get(organization, 0) + 1
        if self._refused[organization] > MOST_REFUSED:
            return
        activity = Activity(uuid4(), now, organization, actor, deed, Outcome.REFUSED)
        try:
            await self._store.write(lambda connection: activities.add(connection, activity))
        except Unavailable as error:
            log.warning("a refusal is not kept among the activities", reason=str(error))

    async def forget_old(self) -> None:
        """Deletes what is older than it has to be. Raises Unavailable."""
        before = self._clock() - self._retention
        while await self._store.write(lambda connection: activities.forget(connection, before, BATCH)) == BATCH:
            pass
