"""PATCH of a service, a JSON merge patch (RFC 7396): absent is unchanged, null clears.

Fields that cannot change are accepted when they carry the present value, so that what was read can be sent back.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from howdah.api import models
from howdah.api.bodies import JSON_OR_MERGE_PATCH, read_object
from howdah.api.call import Call
from howdah.api.calls.services import shown, tags
from howdah.api.validation import BodyType
from howdah.domain.errors import BadRequest
from howdah.domain.services import Service, ServiceChange

PATCH = BodyType(models.PostgresServicePatchRequest)

READ_ONLY = {
    "id": "an id is for life",
    "connectionString": "it follows hostname and password",
    "username": "the superuser is always postgres",
    "password": "PATCH …/password sets it",
    "hostname": "it follows the name",
    "isPrimary": "the command promote of PATCH …/state changes it",
    "state": "it says what is; PATCH …/state takes commands",
    "createdAt": "it says what was",
    "earliestRestoreTime": "it follows the backups",
}
"""Fields of an answer that a patch cannot change, and why not."""


async def patch_service(call: Call) -> Response:
    service = call.plane.services.get(call.organization, call.service)
    body = await read_object(call.request, JSON_OR_MERGE_PATCH)
    change = service_change(PATCH.check(_without_read_only(call, service, body)))
    changed = await call.plane.services.change(call.organization, service.id, change, call.act())
    return call.success(shown(call, changed))


def service_change(body: models.PostgresServicePatchRequest) -> ServiceChange:
    return ServiceChange(
        name=body.get("name"),
        tags=tags(body["tags"] or []) if "tags" in body else None,
        size=body.get("size"),
        ha_type=body.get("haType"),
        provider=body.get("provider"),
        region=body.get("region"),
        storage_gib=body.get("storageSize"),
        postgres_version=body.get("postgresVersion"),
    )


def _without_read_only(call: Call, service: Service, body: dict[str, Any]) -> dict[str, Any]:
    present = shown(call, service, credentials=True)
    for field in READ_ONLY.keys() & body.keys():
        accepted = (service.id.ubid, str(service.id.uuid)) if field == "id" else (present.get(field),)
        if not any(_equal(body[field], value) for value in accepted):
            raise BadRequest(f"{field} cannot change: {READ_ONLY[field]}")
    return {
        field: value
        for field, value in body.items()
        if field not in READ_ONLY and (field, value) != ("ipAccessList", present["ipAccessList"])
    }


def _equal(given: object, present: object) -> bool:
    """As JSON compares: 1 is not true."""
    return given == present and isinstance(given, bool) == isinstance(present, bool)
