"""One authenticated call, as its handler sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from howdah.api import envelope
from howdah.api.bodies import JSON, read_object
from howdah.api.plane import PlaneLike
from howdah.api.validation import BodyType
from howdah.control.acts import Act
from howdah.domain.activities import Actor, ActorType
from howdah.domain.errors import NotFound
from howdah.domain.ids import ServiceId
from howdah.domain.organizations import ApiKey, ApiVersion, Role

T = TypeVar("T")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


@dataclass(slots=True)
class Call:
    plane: PlaneLike
    request: Request
    request_id: str
    key: ApiKey
    version: ApiVersion

    @property
    def organization(self) -> UUID:
        """The organization that the key acts for, which is the one in the path where there is one."""
        return self.key.organization

    @property
    def service(self) -> ServiceId:
        """The service that the path names. Raises NotFound when the text is no service's id."""
        text: str = self.request.path_params["postgresId"]
        try:
            return ServiceId.parse(text)
        except ValueError:
            raise NotFound(f"there is no Postgres service {text[:60]!a}") from None

    @property
    def api_key(self) -> UUID:
        """The id of the key that the path names. Raises NotFound when the text is no id."""
        return uuid_in_path(self.request.path_params["keyId"], "API key")

    @property
    def may_see_credentials(self) -> bool:
        return self.key.role is not Role.QUERY_ENDPOINTS

    @property
    def actor(self) -> Actor:
        """Who makes the call, as activities tell."""
        headers, client = self.request.headers, self.request.client
        return Actor(
            ActorType.API,
            id=str(self.key.id),
            details=self.key.name,
            address=None if client is None else client.host,
            user_agent=headers.get("user-agent"),
        )

    def act(self) -> Act:
        """What a change takes to tell who made it."""
        return Act(self.actor)

    async def body(self, body_type: BodyType[T], media_types: tuple[str, ...] = JSON) -> T:
        """The request's body, checked."""
        return body_type.check(await read_object(self.request, media_types))

    def success(
        self, result: Any, headers: Mapping[str, str] | None = None, beside: Mapping[str, Any] | None = None
    ) -> Response:
        """``beside``: what stands beside ``result``."""
        return envelope.success(self.request_id, result, headers, beside)

    def done(self) -> Response:
        """Success without a result."""
        return envelope.success(self.request_id)


def uuid_in_path(text: str, what: str) -> UUID:
    """The UUID that ``text`` spells in its canonical form. Raises NotFound, as for an id that nothing has."""
    if not _UUID.fullmatch(text):
        raise NotFound(f"there is no {what} {text[:60]!a}")
    return UUID(text)
