"""Organizations, and the keys that act for them."""

from __future__ import annotations

from starlette.responses import Response

from howdah.api import rendering
from howdah.api.call import Call, uuid_in_path


async def list_organizations(call: Call) -> Response:
    """A key sees its own organization only."""
    return call.success([rendering.organization(call.plane.access.organization(call.organization))])


async def get_organization(call: Call) -> Response:
    return call.success(rendering.organization(call.plane.access.organization(call.organization)))


async def list_keys(call: Call) -> Response:
    return call.success([rendering.key(key) for key in call.plane.access.keys(call.organization)])


async def get_key(call: Call) -> Response:
    key_id = uuid_in_path(call.request.path_params["keyId"], "key")
    return call.success(rendering.key(call.plane.access.key(call.organization, key_id)))
