"""Moments as users write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from howdah.domain.errors import BadRequest

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def parse_moment(text: str, called: str) -> datetime:
    """The moment in UTC: RFC 3339, no finer than the microseconds that Postgres knows. ``called``: what its user calls
    it. Raises BadRequest."""
    try:
        if _RFC_3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BadRequest(
        f"{called} {text[:60]!a} is no moment; it must be like 2026-11-25T09:30:00Z or"
        " 2026-11-25T10:30:00.250000+01:00, with at most six digits of a second"
    )


def text(moment: datetime) -> str:
    """RFC 3339 in UTC, with as many digits as it needs."""
    spelled = moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    return spelled.rstrip("0").rstrip(".") + "Z"
