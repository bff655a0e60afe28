"""What was done in an organization."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from howdah.api import rendering
from howdah.api.call import Call, uuid_in_path
from howdah.api.queries import Period
from howdah.domain.activities import Activity

PAGE_SIZE = 1000


async def list_activities(call: Call) -> Response:
    asked = Period.read(call.request.query_params)
    found = call.plane.activities.page(
        call.organization, since=asked.since, until=asked.until, after=asked.after, limit=PAGE_SIZE + 1
    )
    result = [_shown(call, activity) for activity in found[:PAGE_SIZE]]
    more = {"nextCursor": str(found[PAGE_SIZE - 1].id)} if len(found) > PAGE_SIZE else {}
    return call.success(result, beside=more)


async def get_activity(call: Call) -> Response:
    activity = uuid_in_path(call.request.path_params["activityId"], "activity")
    return call.success(_shown(call, call.plane.activities.get(call.organization, activity)))


def _shown(call: Call, found: Activity) -> dict[str, Any]:
    actor, deed = found.actor, found.deed
    optional = {
        "actorIpAddress": actor.address,
        "serviceId": None if deed.service is None else rendering.service_id(deed.service, call.version),
        "userAgent": actor.user_agent,
        "targetKeyId": None if deed.key is None else str(deed.key),
        "keyUpdateType": deed.key_update,
    }
    return {
        "id": str(found.id),
        "createdAt": rendering.timestamp(found.created_at),
        "type": deed.type,
        "actorType": actor.type,
        "actorId": actor.id,
        "actorDetails": actor.details,
        "organizationId": str(found.organization),
        **{field: value for field, value in optional.items() if value is not None},
        "outcome": found.outcome,
        "changes": deed.changes,
    }
