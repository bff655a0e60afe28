"""Stored activities. They refer to nothing, so that they outlive everything."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, delete, insert, null, or_, select

from howdah.domain.activities import Activity, ActivityType, Actor, ActorType, Deed, KeyUpdate, Outcome, bounded
from howdah.domain.ids import ServiceId
from howdah.store.prepared import Prepared
from howdah.store.store import Store
from howdah.store.tables import activities
from howdah.store.times import from_ms, maybe_to_ms, to_ms

_COLUMNS = (
    activities.c.id,
    activities.c.created_at,
    activities.c.organization,
    activities.c.actor_type,
    activities.c.actor_id,
    activities.c.actor_details,
    activities.c.address,
    activities.c.user_agent,
    activities.c.type,
    activities.c.changes,
    activities.c.service,
    activities.c.key,
    activities.c.key_update,
    activities.c.outcome,
)


def _select(*more: Any) -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS, *more).where(activities.c.organization == bindparam("organization"))


_ONE = Prepared(_select(activities.c.number).where(activities.c.id == bindparam("id")))
_PAGE = Prepared(
    _select()
    .where(
        or_(bindparam("since").is_(null()), activities.c.created_at >= bindparam("since")),
        or_(bindparam("until").is_(null()), activities.c.created_at <= bindparam("until")),
        or_(bindparam("below").is_(null()), activities.c.number < bindparam("below")),
    )
    .order_by(activities.c.number.desc())
    .limit(bindparam("limit"))
)


def add(connection: Connection, activity: Activity) -> None:
    actor, deed = activity.actor, activity.deed
    connection.execute(
        insert(activities).values(
            id=str(activity.id),
            created_at=to_ms(activity.created_at),
            organization=str(activity.organization),
            actor_type=actor.type,
            actor_id=bounded(actor.id),
            actor_details=bounded(actor.details),
            address=actor.address,
            user_agent=None if actor.user_agent is None else bounded(actor.user_agent),
            type=deed.type,
            changes=bounded(deed.changes),
            service=None if deed.service is None else str(deed.service.uuid),
            key=None if deed.key is None else str(deed.key),
            key_update=deed.key_update,
            outcome=activity.outcome,
        )
    )


def find(store: Store, organization: UUID, activity: UUID) -> Activity | None:
    found = _one(store, organization, activity)
    return None if found is None else _activity(found)


def page(
    store: Store,
    organization: UUID,
    *,
    since: datetime | None,
    until: datetime | None,
    after: UUID | None,
    limit: int,
) -> list[Activity] | None:
    """The newest of that time, newest first; ``after``: only what is older than that one; None when it is not there."""
    below = None
    if after is not None:
        if (found := _one(store, organization, after)) is None:
            return None
        below = found[-1]
    rows = store.all(
        _PAGE,
        {
            "organization": str(organization),
            "since": maybe_to_ms(since),
            "until": maybe_to_ms(until),
            "below": below,
            "limit": limit,
        },
    )
    return [_activity(row) for row in rows]


def forget(connection: Connection, before: datetime, most: int) -> int:
    """Deletes at most that many from before that moment; how many."""
    old = select(activities.c.number).where(activities.c.created_at < to_ms(before)).limit(most)
    return connection.execute(delete(activities).where(activities.c.number.in_(old))).rowcount


def _one(store: Store, organization: UUID, activity: UUID) -> tuple[Any, ...] | None:
    return store.one(_ONE, {"organization": str(organization), "id": str(activity)})


def _activity(row: tuple[Any, ...]) -> Activity:
    name, at, organization, actor_type, actor_id, details, address, agent, kind, changes, service, key, update, *_ = row
    return Activity(
        id=UUID(name),
        created_at=from_ms(at),
        organization=UUID(organization),
        actor=Actor(ActorType(actor_type), actor_id, details, address, agent),
        deed=Deed(
            type=ActivityType(kind),
            changes=changes,
            service=None if service is None else ServiceId(UUID(service)),
            key=None if key is None else UUID(key),
            key_update=None if update is None else KeyUpdate(update),
        ),
        outcome=Outcome(row[13]),
    )
