"""Organizations."""

from __future__ import annotations

from starlette.responses import Response

from howdah.api import rendering
from howdah.api.call import Call


async def list_organizations(call: Call) -> Response:
    """A key sees its own organization only."""
    return call.success([rendering.organization(call.plane.access.organization(call.organization))])


async def get_organization(call: Call) -> Response:
    return call.success(rendering.organization(call.plane.access.organization(call.organization)))
