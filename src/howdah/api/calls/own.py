"""Howdah's own additions, below /v1/howdah: never in upstream's paths."""

from __future__ import annotations

from starlette.responses import Response

from howdah import __version__
from howdah.api import rendering
from howdah.api.call import Call
from howdah.api.calls.services import target
from howdah.api.connections import connections
from howdah.domain.organizations import ApiVersion
from howdah.domain.states import HaType


async def get_catalog(call: Call) -> Response:
    return call.success(rendering.catalog(call.plane.catalog, call.plane.memory()))


async def get_version(call: Call) -> Response:
    return call.success({"howdah": __version__, "apiVersion": call.version, "apiVersions": list(ApiVersion)})


async def get_service_state(call: Call) -> Response:
    found = call.plane.services.get(call.organization, call.service)
    return call.success(
        {
            "id": rendering.service_id(found.id, call.version),
            "name": found.name,
            "state": found.state,
            "reason": found.state_reason,
        }
    )


async def get_connections(call: Call) -> Response:
    found = call.plane.services.get(call.organization, call.service)
    visible = call.may_see_credentials and call.version is ApiVersion.PREVIEW
    shown = target(call, found, found.password if visible else None)
    return call.success(connections(shown, has_standbys=found.ha_type is not HaType.NONE))


async def get_health(call: Call) -> Response:
    return call.success(rendering.health(await call.plane.backups.health(call.organization, call.service)))


async def get_fleet_health(call: Call) -> Response:
    found = await call.plane.backups.health_of_all(call.organization)
    return call.success(
        [
            {"id": rendering.service_id(service.id, call.version), "name": service.name} | rendering.health(health)
            for service, health in found
        ]
    )
