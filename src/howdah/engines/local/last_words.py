"""Why a server did not start, from what it wrote last."""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any, cast

from howdah.engines.local.layout import InstancePaths
from howdah.launcher.files import read_foreign

_TAIL = 64 * 1024
_LONGEST = 300
_SERIOUS = ("FATAL", "PANIC")
_OWN_PROCESSES = ("postmaster", "startup")


def last_words(paths: InstancePaths, owner: int, ran: float) -> str | None:
    """The last FATAL or PANIC of the server itself since it started, ``ran`` seconds ago; one line."""
    since = time.time() - ran - 1
    found = _from_log(paths, owner, since) or _from_output(paths)
    return found[:_LONGEST] if found else None


def _from_log(paths: InstancePaths, owner: int, since: float) -> str | None:
    day = time.strftime("%a", time.gmtime())
    content = read_foreign(paths.log, f"postgres-{day}.json", owner=owner, most=_TAIL, tail=True) or b""
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


def _from_output(paths: InstancePaths) -> str | None:
    content = read_foreign(paths.conf, paths.startup_log.name, owner=os.geteuid(), most=_TAIL, tail=True) or b""
    lines = content.decode(errors="replace").splitlines()
    for line in reversed(lines):
        if match := re.search(r"\b(?:FATAL|PANIC):\s+(.*)", line):
            return match[1]
    return lines[-1] if lines and not lines[-1].startswith("20") else None
