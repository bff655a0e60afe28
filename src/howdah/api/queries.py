"""The filters and the pages of lists, read from the query string."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from starlette.datastructures import QueryParams

from howdah.api.validation import unknown_name
from howdah.domain.errors import BadRequest
from howdah.domain.moments import parse_moment
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
        given = _given(query, KNOWN)
        state, tag = given.get("state"), given.get("tag")
        return cls(
            state=None if state is None else _state(state),
            name=given.get("name"),
            tag=None if tag is None else _tag(tag),
        )


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a long list. ``cursor``: the nextCursor of the page before."""

    cursor: str | None = None
    limit: int = 100

    @classmethod
    def read(cls, query: QueryParams) -> Self:
        """Raises BadRequest for an unknown or repeated parameter, and for a limit outside of 1 to 100."""
        given = _given(query, PAGE)
        limit = given.get("limit", str(MOST))
        if not (limit.isascii() and limit.isdigit() and len(limit) <= 3 and 1 <= int(limit) <= MOST):
            raise BadRequest(f"query parameter limit is {limit[:60]!a}; it must be a whole number from 1 to {MOST}")
        return cls(given.get("cursor"), int(limit))


@dataclass(frozen=True, slots=True)
class Period:
    """What to list of what was done. ``after``: the nextCursor of the page before."""

    since: datetime | None = None
    until: datetime | None = None
    after: UUID | None = None

    @classmethod
    def read(cls, query: QueryParams) -> Self:
        """Raises BadRequest for an unknown or repeated parameter, and for what is no moment and no cursor."""
        given = _given(query, PERIOD)
        since, until, cursor = given.get("from_date"), given.get("to_date"), given.get("cursor")
        return cls(
            since=None if since is None else parse_moment(since, "query parameter from_date"),
            until=None if until is None else parse_moment(until, "query parameter to_date"),
            after=None if cursor is None else _activity(cursor),
        )


MOST = 100
PERIOD = ("from_date", "to_date", "cursor")
PAGE = ("cursor", "limit")
KNOWN = ("tag", "state", "name")


def _given(query: QueryParams, known: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in query.multi_items():
        if name not in known:
            raise BadRequest(unknown_name("query parameter", name, name, known))
        if name in given:
            raise BadRequest(f"query parameter {name} is given twice; only one is supported")
        given[name] = value
    return given


def _activity(cursor: str) -> UUID:
    try:
        return UUID(cursor)
    except ValueError:
        raise BadRequest(
            f"query parameter cursor is {cursor[:60]!a}; it must be the nextCursor of the page before"
        ) from None


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
