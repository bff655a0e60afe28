"""Tags of a service: keys and optional values with upstream's character rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from howdah.domain.errors import BadRequest

MAX_TAGS = 50
MAX_KEY = 128
MAX_VALUE = 256
RESERVED_PREFIX = "chc_"
OWN_PREFIX = "howdah_"
PROTECTED = "howdah_protected"
RETENTION = "howdah_retention_days"
_DAYS = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_ALLOWED = re.compile(r"[a-zA-Z0-9._-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tag:
    key: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class _Expected:
    """The values of a tag of Howdah's own, as a pattern and in words."""

    pattern: str
    words: str


_OWN = {
    PROTECTED: _Expected("true|false", "true or false"),
    RETENTION: _Expected(_DAYS.pattern, "a number of days from 1 to 9999"),
}


def check_tags(tags: Sequence[Tag]) -> tuple[Tag, ...]:
    """The tags as given. Raises BadRequest naming the first rule that one of them breaks."""
    if len(tags) > MAX_TAGS:
        raise BadRequest(f"tags has {len(tags)} entries; at most {MAX_TAGS} are allowed")
    seen: set[str] = set()
    for index, tag in enumerate(tags):
        _check_key(f"tags[{index}].key", tag.key)
        if tag.value is not None:
            _check_characters(f"tags[{index}].value", tag.value, MAX_VALUE)
        _check_own(f"tags[{index}].value", tag)
        if tag.key in seen:
            raise BadRequest(f"tags[{index}].key '{tag.key}' occurs twice; keys must be unique")
        seen.add(tag.key)
    return tuple(tags)


def is_protected(tags: Sequence[Tag]) -> bool:
    """Whether the service must not be deleted."""
    return Tag(PROTECTED, "true") in tags


def retention_days(tags: Sequence[Tag]) -> int | None:
    """Days for which the service can be restored, as its tag says; None: it says nothing."""
    return next((int(tag.value) for tag in tags if tag.key == RETENTION and tag.value is not None), None)


def parse_retention(text: str) -> int | None:
    """The days that ``text`` says, by the rule of the tag; None when it breaks it."""
    return int(text) if _DAYS.fullmatch(text) else None


def _check_own(field: str, tag: Tag) -> None:
    expected = _OWN.get(tag.key)
    if expected is None:
        return
    if not re.fullmatch(expected.pattern, tag.value or "", re.ASCII):
        raise BadRequest(f"{field} of '{tag.key}' is {tag.value!r}; it must be {expected.words}")


def _check_key(field: str, key: str) -> None:
    if not key:
        raise BadRequest(f"{field} is empty; it must have 1 to {MAX_KEY} characters")
    _check_characters(field, key, MAX_KEY)
    if key.lower().startswith(RESERVED_PREFIX):
        raise BadRequest(f"{field} '{key}' begins with '{RESERVED_PREFIX}', which is reserved")
    if key.lower().startswith(OWN_PREFIX) and key not in _OWN:
        own = ", ".join(_OWN)
        raise BadRequest(
            f"{field} '{key}' begins with '{OWN_PREFIX}' but is none of Howdah's documented tags; they are: {own}"
        )


def _check_characters(field: str, text: str, most: int) -> None:
    if len(text) > most:
        raise BadRequest(f"{field} has {len(text)} characters; at most {most} are allowed")
    if not _ALLOWED.fullmatch(text):
        raise BadRequest(
            f"{field} {text!r} may only have letters, digits, dots, underscores and hyphens (a-z A-Z 0-9 . _ -)"
        )
