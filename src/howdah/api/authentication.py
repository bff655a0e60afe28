"""HTTP Basic: key id and key secret."""

from __future__ import annotations

import base64
import binascii

from starlette.datastructures import Headers

from howdah.api.plane import AccessLike
from howdah.domain.errors import Unauthorized
from howdah.domain.organizations import ApiKey

_HOW = "send HTTP Basic with the key id as user name and the key secret as password"


def authenticate(headers: Headers, access: AccessLike) -> ApiKey:
    """The key that the request carries. Raises Unauthorized, alike for a wrong id and a wrong secret."""
    values = headers.getlist("authorization")
    if not values:
        raise Unauthorized(f"the header Authorization is missing; {_HOW}")
    credentials = _basic_credentials(values[0]) if len(values) == 1 else None
    if credentials is None:
        raise Unauthorized(f"the header Authorization cannot be read; {_HOW}")
    key = access.authenticate(*credentials)
    if key is None:
        raise Unauthorized("the key id or the key secret is wrong, or the key is disabled or has expired")
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
