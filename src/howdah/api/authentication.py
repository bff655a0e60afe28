"""HTTP Basic: key id and key secret."""

from __future__ import annotations

import base64
import binascii

from starlette.requests import Request

from howdah.api.plane import AccessLike
from howdah.api.slowdown import Slowdown
from howdah.domain.errors import Unauthorized
from howdah.domain.organizations import ApiKey

_HOW = "send HTTP Basic with the key id as user name and the key secret as password"


async def authenticate(request: Request, access: AccessLike, slowdown: Slowdown) -> ApiKey:
    """The key that the request carries. Raises Unauthorized, alike for a wrong id and a wrong secret, and later
    the more often that happens. A right secret never waits."""
    values = request.headers.getlist("authorization")
    if not values:
        raise Unauthorized(f"the header Authorization is missing; {_HOW}")
    credentials = _basic_credentials(values[0]) if len(values) == 1 else None
    if credentials is None:
        raise Unauthorized(f"the header Authorization cannot be read; {_HOW}")
    address = request.client.host if request.client else ""
    key = access.authenticate(*credentials, address)
    if key is None:
        await slowdown.fail(credentials[0], address)
        raise Unauthorized(
            "the key id or the key secret is wrong, or the key is disabled, has expired or may not be used from this"
            " address"
        )
    return key


def _basic_credentials(value: str) -> tuple[str, str] | None:
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):  # ValueError: not ASCII, not UTF-8
        return None
    key_id, colon, secret = decoded.partition(":")
    return (key_id, secret) if colon else None
