"""Service names and the hostnames made from them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

from howdah.domain.errors import BadRequest
from howdah.domain.ids import ServiceId

MAX_NAME = 50
MAX_SLUG = 54
MAX_LABEL = 63
_READ_ONLY = "-ro"
_NAME = re.compile(r"[A-Za-z0-9 _.-]+", re.ASCII)
_NOT_SLUG = re.compile(r"[^a-z0-9]+", re.ASCII)


def check_name(name: str, field: str = "name") -> str:
    """The name, trimmed. Raises BadRequest naming the rule that it breaks."""
    trimmed = name.strip(" \t\r\n")
    if not trimmed:
        raise BadRequest(f"{field} is empty; it must have 1 to {MAX_NAME} characters")
    if len(trimmed) > MAX_NAME:
        raise BadRequest(f"{field} has {len(trimmed)} characters; at most {MAX_NAME} are allowed")
    if not _NAME.fullmatch(trimmed):
        wrong = next(c for c in trimmed if not _NAME.fullmatch(c))
        raise BadRequest(
            f"{field} has the character {wrong!a}; only ASCII letters, digits, spaces, hyphens, underscores and dots"
            " are allowed"
        )
    return trimmed


def slug(name: str) -> str:
    """A name as the first part of a DNS label: lower case, runs of anything else one hyphen, at most 54 characters."""
    return _NOT_SLUG.sub("-", name.lower()).strip("-")[:MAX_SLUG].rstrip("-") or "pg"


def new_hostname(*, name: str, service: ServiceId, region: str, provider: str, domain: str) -> str:
    """A hostname for a service of that name; its random part differs from call to call."""
    return f"{slug(name)}-{secrets.token_hex(4)}.{service.ubid}.c0.{region}.{provider}.pg.{domain}"


def read_only(hostname: str) -> str:
    """The name that reaches the standbys of the service with that hostname: ``-ro`` after its first label, whose slug
    is cut where it would get too long. Its random part stays, so that no two hostnames share one."""
    label, _, rest = hostname.partition(".")
    start, _, random_part = label.rpartition("-")
    end = f"-{random_part}{_READ_ONLY}"
    return f"{start[: MAX_LABEL - len(end)].rstrip('-')}{end}.{rest}"


def with_read_only(hostnames: Iterable[str]) -> list[str]:
    """Every name of a service: the hostnames, then the read-only name of each."""
    names = list(hostnames)
    return names + [read_only(name) for name in names]
