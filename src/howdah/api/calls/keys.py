"""The API keys of an organization."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from starlette.responses import Response

from howdah.api import models, rendering
from howdah.api.bodies import JSON_OR_MERGE_PATCH
from howdah.api.call import Call
from howdah.api.validation import BodyType
from howdah.domain.errors import BadRequest
from howdah.domain.keys import Expiry, HashedKey, KeyChange, NewApiKey, check_hashes
from howdah.domain.moments import parse_moment
from howdah.domain.organizations import ApiKey, KeyState, Role
from howdah.domain.sources import Source, check_sources
from howdah.security.keys import NewKey

CREATE = BodyType(models.ApiKeyPostRequest)
PATCH = BodyType(models.ApiKeyPatchRequest)

_ROLES = {str(role.id): role for role in Role}


async def list_keys(call: Call) -> Response:
    return call.success([rendering.key(key) for key in call.plane.access.keys(call.organization)])


async def get_key(call: Call) -> Response:
    return call.success(rendering.key(call.plane.access.key(call.organization, call.api_key)))


async def create_key(call: Call) -> Response:
    body = await call.body(CREATE)
    roles = _roles(body)
    if roles is None:
        raise BadRequest("roles is missing; give roles or assignedRoleIds, with one role at least")
    wanted = NewApiKey(
        name=body["name"],
        roles=roles,
        state=body.get("state", KeyState.ENABLED),
        expire_at=_expiry(body.get("expireAt")),
        sources=_sources(body["ipAccessList"]) if "ipAccessList" in body else None,
        hashed=_hashed(body["hashData"]) if "hashData" in body else None,
    )
    created = await call.plane.access.add_key(call.organization, wanted, call.act(_created))
    return call.success(_created(created))


async def patch_key(call: Call) -> Response:
    key = call.plane.access.key(call.organization, call.api_key)
    body = await call.body(PATCH, JSON_OR_MERGE_PATCH)
    change = KeyChange(
        name=body.get("name"),
        roles=_roles(body),
        state=body.get("state"),
        expiry=Expiry(_expiry(body["expireAt"])) if "expireAt" in body else None,
        sources=_sources(body["ipAccessList"]) if "ipAccessList" in body else None,
    )
    changed = await call.plane.access.change_key(call.organization, key.id, change, call.act())
    return call.success(rendering.key(changed))


async def delete_key(call: Call) -> Response:
    await call.plane.access.delete_key(call.organization, call.api_key, call.act())
    return call.done()


def _created(created: tuple[ApiKey, NewKey | None]) -> dict[str, Any]:
    key, new = created
    halves = {} if new is None else {"keyId": new.key_id, "keySecret": new.secret}
    return {"key": rendering.key(key), **halves}


def _roles(body: models.ApiKeyPostRequest | models.ApiKeyPatchRequest) -> tuple[Role, ...] | None:
    """Those of ``roles`` or ``assignedRoleIds``; None without either."""
    named = _distinct("roles", body["roles"]) if "roles" in body else None
    assigned = None
    if "assignedRoleIds" in body:
        given = [_role(index, text) for index, text in enumerate(body["assignedRoleIds"])]
        assigned = _distinct("assignedRoleIds", given)
    if named is not None and assigned is not None and set(named) != set(assigned):
        raise BadRequest("roles and assignedRoleIds name different roles; give one of them")
    return named if assigned is None else assigned


def _distinct(field: str, roles: list[Role]) -> tuple[Role, ...]:
    if not roles:
        raise BadRequest(f"{field} is empty; it must have one role at least")
    if len(set(roles)) != len(roles):
        raise BadRequest(f"{field} names a role twice; leave one out")
    return tuple(roles)


def _role(index: int, text: str) -> Role:
    if role := _ROLES.get(text.lower()):
        return role
    offered = ", ".join(f"{known} ({role})" for known, role in _ROLES.items())
    raise BadRequest(f"assignedRoleIds[{index}] {text[:60]!a} is no role; there are: {offered}")


def _expiry(text: str | None) -> datetime | None:
    """To the millisecond, as it is kept and shown. The schema's "never" is null, or empty."""
    if not text:
        return None
    moment = parse_moment(text, "expireAt")
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _sources(given: list[models.IpAccessListEntry]) -> tuple[Source, ...]:
    return check_sources([(entry["source"], entry.get("description")) for entry in given], "ipAccessList")


def _hashed(given: models.ApiKeyHashData) -> HashedKey:
    return check_hashes(given["keyIdHash"], given["keyIdSuffix"], given["keySecretHash"])
