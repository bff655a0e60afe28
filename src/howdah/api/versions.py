"""Which of the two API versions answers a request; docs/api.md says how they differ."""

from __future__ import annotations

from starlette.datastructures import Headers

from howdah.domain.errors import BadRequest
from howdah.domain.organizations import ApiVersion

HEADER = "Howdah-Api-Version"
CLIENTS_THAT_NEED_BETA = ("clickhousectl/", "terraform-provider-clickhouse")
"""Parts of the User-Agent."""


def asked_version(headers: Headers) -> ApiVersion | None:
    """The version that the request's own header asks for. Raises BadRequest when there is no such version."""
    values = headers.getlist(HEADER)
    if not values:
        return None
    try:
        return ApiVersion(", ".join(values))
    except ValueError:
        offered = " or ".join(ApiVersion)
        raise BadRequest(f"header {HEADER} {', '.join(values)[:60]!a} is no version; it must be {offered}") from None


def usual_version(headers: Headers, *, pinned: ApiVersion | None, default: ApiVersion) -> ApiVersion:
    """The version when the request asks for none: the key's, the client's, the server's."""
    if pinned is not None:
        return pinned
    agent = headers.get("user-agent", "")
    return ApiVersion.BETA if any(client in agent for client in CLIENTS_THAT_NEED_BETA) else default
