"""The servers of a service, changes of its primary, and read replicas."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from howdah.api import models
from howdah.api.call import Call
from howdah.api.calls.services import shown, tags
from howdah.api.rendering import timestamp
from howdah.api.validation import BodyType
from howdah.domain.errors import BadRequest
from howdah.domain.failovers import RoleChange
from howdah.domain.members import MemberStatus
from howdah.domain.services import Service

REPLICA = BodyType(models.PostgresServiceReadReplicaRequest)
FAILOVER = BodyType(models.FailoverRequest)


async def create_replica(call: Call) -> Response:
    source = call.plane.services.get(call.organization, call.service)
    body = await call.body(REPLICA)

    def render(made: Service) -> dict[str, object]:
        return shown(call, made, credentials=True)

    made = await call.plane.members.add_replica(
        call.organization,
        source.id,
        name=body["name"],
        tags=tags(body["tags"]) if "tags" in body else None,
        by=call.act(render),
    )
    return call.success(render(made))


async def get_members(call: Call) -> Response:
    found = await call.plane.members.list(call.organization, call.service)
    changes = call.plane.members.changes(call.organization, call.service)
    return call.success(
        {"members": [_member(one) for one in found], "primaryChanges": [_change(one) for one in changes]}
    )


async def accept_loss(call: Call) -> Response:
    service = call.plane.services.get(call.organization, call.service)
    if (await call.body(FAILOVER))["acceptDataLoss"] is not True:
        raise BadRequest("acceptDataLoss must be true: without that, a failover that loses nothing happens by itself")

    def render(found: Service) -> dict[str, object]:
        return shown(call, found)

    found = await call.plane.members.accept_loss(call.organization, service.id, call.act(render))
    return call.success(render(found))


def _member(found: MemberStatus) -> dict[str, Any]:
    return {
        "id": found.id.ubid,
        "role": found.role,
        "state": found.state,
        "reason": found.reason,
        "canTakeOver": found.joined,
        "acknowledges": found.acknowledges,
        "receivedLsn": found.received,
        "replayedLsn": found.replayed,
        "lagBytes": found.lag_bytes,
    }


def _change(found: RoleChange) -> dict[str, Any]:
    return {
        "id": str(found.id),
        "at": timestamp(found.at),
        "kind": found.kind,
        "cause": found.cause,
        "from": found.former.ubid,
        "to": found.new.ubid,
        "lsn": found.position,
        "lostBytes": found.lost_bytes,
        "detectionMs": found.detection_ms,
        "fencingMs": found.fencing_ms,
        "promotionMs": found.promotion_ms,
        "firstWriteMs": found.first_write_ms,
    }
