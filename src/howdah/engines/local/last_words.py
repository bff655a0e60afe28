"""Why a server did not start, from what it wrote last."""

from __future__ import annotations

import json
import re
import time
from typing import Any, cast

_LONGEST = 300
_SERIOUS = ("FATAL", "PANIC")
_OWN_PROCESSES = ("postmaster", "startup")


def last_words(logged: bytes, printed: bytes, ran: float) -> str | None:
    """The last FATAL or PANIC of the server itself since it started, ``ran`` seconds ago; one line.

    logged, printed: the ends of its log, and of what it wrote before it had one.
    """
    since = time.time() - ran - 1
    found = _from_log(logged, since) or _from_output(printed)
    return found[:_LONGEST] if found else None


def _from_log(content: bytes, since: float) -> str | None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(since))
    for line in reversed(content.splitlines()):
        try:
            entry = cast("dict[str, Any]", json.loads(line))
            if str(entry["timestamp"]) < stamp:
                return None
            if entry["error_severity"] in _SERIOUS and entry.get("backend_type", "postmaster") in _OWN_PROCESSES:
                detail = f" ({entry['detail']})" if entry.get("detail") else ""
                return f"{entry['message']}{detail}".replace("\n", " ")
        except (ValueError, LookupError, TypeError, AttributeError):
            continue
    return None


def _from_output(content: bytes) -> str | None:
    lines = content.decode(errors="replace").splitlines()
    for line in reversed(lines):
        if match := re.search(r"\b(?:FATAL|PANIC):\s+(.*)", line):
            return match[1]
    return lines[-1] if lines and not lines[-1].startswith("20") else None
