"""Results of drills as they lie in an archive: ``<timeline>/drills/<started>.json``."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from howdah.backup.errors import DamageError
from howdah.domain.drills import ComparedTable, DrillResult

KEPT = 30
"""Results of a timeline that are kept, the newest ones."""

_TIMES = ("started_at", "finished_at", "until")


_NAME = "%Y%m%dT%H%M%S.%fZ.json"


def file_name(result: DrillResult) -> str:
    """Names sort as the times do."""
    return result.started_at.astimezone(UTC).strftime(_NAME)


def moment(name: str) -> datetime | None:
    """When the drill of that file began; None for another file."""
    try:
        return datetime.strptime(name, _NAME).replace(tzinfo=UTC)
    except ValueError:
        return None


def encode(result: DrillResult) -> bytes:
    raw = asdict(result)
    for name in _TIMES:
        raw[name] = None if raw[name] is None else raw[name].astimezone(UTC).isoformat(timespec="microseconds")
    return json.dumps(raw, indent=1).encode()


def decode(content: bytes, key: str) -> DrillResult:
    """Raises DamageError when ``content`` is not what ``encode`` gives."""
    try:
        raw: dict[str, Any] = json.loads(content)
        for name in _TIMES:
            raw[name] = None if raw[name] is None else datetime.fromisoformat(raw[name])
        raw["tables"] = tuple(ComparedTable(**table) for table in raw["tables"])
        raw |= {name: tuple(raw[name]) for name in ("chain", "problems")}
        return DrillResult(**raw)
    except (ValueError, KeyError, TypeError) as error:
        raise DamageError(f"{key} is damaged: {error!r}") from None
