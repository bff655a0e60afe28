"""One authenticated call, as its handler sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection
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
    """``keep``: stores the result for a repetition of the request, inside the transaction that it comes from; None:
    nobody asked for that."""

    plane: PlaneLike
    request: Request
    request_id: str
    key: ApiKey
    version: ApiVersion
    keep: Callable[[Connection, Any], None] | None = None
    _body: dict[str, Any] | None = field(default=None, init=False)

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

    def act(self, render: Callable[[Any], Any] | None = None) -> Act:
        """What a change takes to tell who made it. ``render``: from what the change yields to the call's result; a POST
        has it, so that its answer can be kept."""
        if self.keep is None or render is None:
            return Act(self.actor)
        keep = self.keep
        return Act(self.actor, lambda connection, outcome: keep(connection, render(outcome)))

    async def read(self, media_types: tuple[str, ...]) -> dict[str, Any]:
        """The request's body, a JSON object; read once."""
        if self._body is None:
            self._body = await read_object(self.request, media_types)
        return self._body

    async def body(self, body_type: BodyType[T], media_types: tuple[str, ...] = JSON) -> T:
        """The same, checked."""
        return body_type.check(await self.read(media_types))

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
