"""Our own note about an instance, conf/applied.json: what took effect inside the running server; written after the
effect. Beside it lies initialised.json, written once, after the data directory is durably in place."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, cast

LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Applied:
    """password_version: set last. configuration: digest that the process (pid, start ticks) was seen to have loaded.
    recovery: where the recovery of its first start ends, a moment or LATEST; None for one that was not restored."""

    password_version: int | None = None
    configuration: str | None = None
    process: tuple[int, int] | None = None
    recovery: str | None = None


def read_applied(content: bytes | None) -> Applied:
    """What is noted; nothing when there is no (readable) note: then it is applied once more, which does no harm."""
    try:
        note = cast("dict[str, Any]", json.loads(content or b"{}"))
        process = note.get("process")
        return Applied(
            password_version=note.get("password_version"),
            configuration=note.get("configuration"),
            process=(int(process[0]), int(process[1])) if process else None,
            recovery=note.get("recovery"),
        )
    except (ValueError, TypeError, LookupError, AttributeError):
        return Applied()


def encode_applied(applied: Applied) -> bytes:
    return json.dumps(asdict(applied)).encode()
