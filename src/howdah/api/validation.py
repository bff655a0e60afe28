"""Checks a body's fields and types, and says in one sentence what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from howdah.api.bodies import json_type
from howdah.api.models import NESTED, NOT_YET
from howdah.domain.errors import BadRequest

T = TypeVar("T")


class BodyType(Generic[T]):
    """A body that a call accepts: a typed dictionary of ``models``."""

    def __init__(self, model: type[T]) -> None:
        self.name = model.__name__
        self.adapter: TypeAdapter[T] = TypeAdapter(model)
        self.fields = tuple(get_type_hints(model))
        self.not_yet = NOT_YET.get(model, ())

    def check(self, body: dict[str, Any]) -> T:
        """``body`` as that dictionary. Raises BadRequest naming the first field that is wrong."""
        for field in self.not_yet:
            if field in body:
                raise BadRequest(f"{field} is not yet supported; leave it out")
        try:
            return self.adapter.validate_python(body)
        except ValidationError as invalid:
            raise BadRequest(self._sentence(invalid.errors(include_url=False, include_context=True))) from None

    def _sentence(self, errors: list[ErrorDetails]) -> str:
        # An unknown field first: it is often the misspelt form of one that is reported missing as well.
        error = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
        path, given = _path(error["loc"]), error["input"]
        match error["type"]:
            case "extra_forbidden":
                known = self.fields if len(error["loc"]) == 1 else get_type_hints(NESTED[str(error["loc"][0])])
                return unknown_name("field", path, str(error["loc"][-1]), known)
            case "missing":
                return f"{path} is missing; it is required"
            case "enum":
                offered = error.get("ctx", {}).get("expected", "")
                return f"{path} must be {offered}, not {_shown(given)}"
            case kind:
                return f"{path} must be {_EXPECTED[kind]}, not {json_type(given)}"


_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer, written without quotes, fraction or exponent",
    "list_type": "an array",
    "dict_type": "an object",
    "typed_dict_type": "an object",
}
"""By pydantic's error type: what would be accepted."""


def unknown_name(kind: str, path: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that is not one of ``known``, with the nearest one."""
    known = list(known)
    lowered = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), list(lowered), n=1)
    hint = f"did you mean {lowered[near[0]]}? " if near else ""
    return f"{kind} {path[:60]!a} is unknown; {hint}known: {', '.join(known) or 'none'}"


def _path(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _shown(value: object) -> str:
    return f"{value[:60]!a}" if isinstance(value, str) else json_type(value)
