"""Postgres services: create, list, read, update, delete, and what belongs to one."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response

from howdah.api import models, rendering
from howdah.api.call import Call
from howdah.api.connections import CA_FILE, Target, connection_string
from howdah.api.queries import Filters
from howdah.api.validation import BodyType
from howdah.domain.errors import BadRequest
from howdah.domain.organizations import ApiVersion
from howdah.domain.services import NewService, Service
from howdah.domain.states import HaType, PostgresVersion
from howdah.domain.tags import Tag

CREATE = BodyType(models.PostgresServicePostRequest)
PASSWORD = BodyType(models.PostgresServiceSetPassword)
STATE = BodyType(models.PostgresServiceSetState)


async def create_service(call: Call) -> Response:
    body = await call.body(CREATE)
    new = NewService(
        name=body["name"],
        provider=body["provider"],
        region=body["region"],
        size=body["size"],
        storage_gib=body.get("storageSize"),
        postgres_version=body.get("postgresVersion", PostgresVersion.V17),
        ha_type=body.get("haType", HaType.NONE),
        tags=tags(body.get("tags", [])),
    )
    render = partial(shown, call, credentials=True)
    created = await call.plane.services.create(call.organization, new, call.act(render))
    return call.success(render(created))


async def list_services(call: Call) -> Response:
    filters = Filters.read(call.request.query_params)
    found = call.plane.services.list(call.organization, state=filters.state, name=filters.name, tag=filters.tag)
    return call.success([rendering.list_item(service, call.version) for service in found])


async def get_service(call: Call) -> Response:
    return call.success(shown(call, call.plane.services.get(call.organization, call.service)))


async def delete_service(call: Call) -> Response:
    await call.plane.services.delete(call.organization, call.service, call.act())
    return call.done()


async def get_ca_certificates(call: Call) -> Response:
    pem = call.plane.services.ca_certificates(call.organization, call.service)
    attachment = {"Content-Disposition": f'attachment; filename="{CA_FILE}"'}
    return Response(pem, headers=attachment | {"Content-Type": "application/x-pem-file"})


async def set_password(call: Call) -> Response:
    service = call.plane.services.get(call.organization, call.service).id
    body = await call.body(PASSWORD)
    generated = await call.plane.services.set_password(call.organization, service, body.get("password"), call.act())
    return call.success({} if generated is None else {"password": generated})


async def set_state(call: Call) -> Response:
    service = call.plane.services.get(call.organization, call.service)
    match (await call.body(STATE))["command"]:
        case "restart":
            restarted = await call.plane.services.restart(call.organization, service.id, call.act())
            return call.success(shown(call, restarted))
        case "promote":
            return call.success(
                shown(call, await call.plane.members.promote(call.organization, service.id, call.act()))
            )
        case "switchover":
            return call.success(
                shown(call, await call.plane.members.switch_over(call.organization, service.id, call.act()))
            )
        case other:
            raise BadRequest(f"command {other[:60]!a} is unknown; it must be restart, promote or switchover")


def shown(call: Call, service: Service, *, credentials: bool = False) -> dict[str, object]:
    """A service as the version in force shows it; ``credentials``: in ``beta`` too, as its create answer does."""
    visible = call.may_see_credentials and (credentials or call.version is ApiVersion.PREVIEW)
    string = connection_string(target(call, service, service.password)) if visible else None
    return rendering.service(service, call.version, string)


def target(call: Call, service: Service, password: str | None) -> Target:
    """Where clients reach a service."""
    return Target(service.hostname, call.plane.router_port, password, call.plane.hostaddr)


def tags(given: list[models.Tag]) -> tuple[Tag, ...]:
    return tuple(Tag(tag["key"], tag.get("value")) for tag in given)
