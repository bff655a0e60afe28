"""Services that were deleted and whose backups are kept, and new ones made from them."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from howdah.api import rendering
from howdah.api.call import Call
from howdah.api.calls.backups import LATEST, RESTORE
from howdah.api.calls.services import shown, tags
from howdah.domain.backups import parse_target
from howdah.domain.deleted import DeletedService
from howdah.domain.services import Service


async def list_deleted(call: Call) -> Response:
    found = call.plane.deleted.list(call.organization)
    return call.success([await _shown(call, one) for one in found])


async def get_deleted(call: Call) -> Response:
    return call.success(await _shown(call, call.plane.deleted.get(call.organization, call.service)))


async def restore_deleted(call: Call) -> Response:
    source = call.plane.deleted.get(call.organization, call.service)
    body = await call.body(RESTORE)
    target = body["restoreTarget"]

    def render(made: Service) -> dict[str, object]:
        return shown(call, made, credentials=True)

    restored = await call.plane.deleted.restore(
        call.organization,
        source.id,
        name=body["name"],
        target=None if target == LATEST else parse_target(target, "restoreTarget"),
        tags=tags(body["tags"]) if "tags" in body else None,
        by=call.act(render),
    )
    return call.success(render(restored))


async def _shown(call: Call, one: DeletedService) -> dict[str, Any]:
    return rendering.deleted(one, call.version, await call.plane.deleted.stored_bytes(one))


async def purge_deleted(call: Call) -> Response:
    await call.plane.deleted.purge(call.organization, call.service, call.act())
    return call.done()
