"""Our own notes about an instance, in its conf/ directory, which its tenant can read at most.

initialised.json: written once, after the data directory is durably in place.
applied.json: what took effect inside the running server; written after the effect.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from howdah.launcher.files import read_own, replace_file


@dataclass(frozen=True, slots=True)
class Applied:
    """password_version: set last. configuration: digest that the process (pid, start ticks) was seen to have loaded."""

    password_version: int | None = None
    configuration: str | None = None
    process: tuple[int, int] | None = None


def read_applied(path: Path) -> Applied:
    """What is noted; nothing when there is no (readable) note: then it is applied once more, which does no harm."""
    content = read_own(path)
    try:
        note = cast("dict[str, Any]", json.loads(content or b"{}"))
        process = note.get("process")
        return Applied(
            password_version=note.get("password_version"),
            configuration=note.get("configuration"),
            process=(int(process[0]), int(process[1])) if process else None,
        )
    except (ValueError, TypeError, LookupError, AttributeError):
        return Applied()


def write_applied(path: Path, applied: Applied) -> None:
    replace_file(path, json.dumps(asdict(applied)).encode(), mode=0o600)


def write_initialised(path: Path, *, full_version: str, identifier: int) -> None:
    note = {"version": full_version, "system_identifier": str(identifier)}
    replace_file(path, json.dumps(note).encode(), mode=0o600)
