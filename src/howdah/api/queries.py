"""The filters of a list, read from the query string."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from starlette.datastructures import QueryParams

from howdah.api.validation import unknown_name
from howdah.domain.errors import BadRequest
from howdah.domain.states import ServiceState
from howdah.domain.tags import Tag


@dataclass(frozen=True, slots=True)
class Filters:
    """Services must pass all that are given. A tag without value asks for the key alone."""

    state: ServiceState | None = None
    name: str | None = None
    tag: Tag | None = None

    @classmethod
    def read(cls, query: QueryParams) -> Self:
        """Raises BadRequest for an unknown or repeated parameter, and for a state that there is not."""
        given: dict[str, str] = {}
        for name, value in query.multi_items():
            if name not in KNOWN:
                raise BadRequest(unknown_name("query parameter", name, name, KNOWN))
            if name in given:
                raise BadRequest(f"query parameter {name} is given twice; only one is supported")
            given[name] = value
        state, tag = given.get("state"), given.get("tag")
        return cls(
            state=None if state is None else _state(state),
            name=given.get("name"),
            tag=None if tag is None else _tag(tag),
        )


KNOWN = ("tag", "state", "name")


def _state(text: str) -> ServiceState:
    try:
        return ServiceState(text)
    except ValueError:
        offered = ", ".join(ServiceState)
        raise BadRequest(f"query parameter state {text[:60]!a} is no state; it must be one of: {offered}") from None


def _tag(text: str) -> Tag:
    key, colon, value = text.partition(":")
    if not key:
        raise BadRequest("query parameter tag must be key or key:value, with a key that is not empty")
    return Tag(key, value if colon else None)
