"""One line of JSON per event on stderr. Names and addresses, never what clients send."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime

STDERR = 2


class Log:
    """Lines of one event are at most one a second; what was left out is counted in the next one (``suppressed``).
    ``always``: fields of all lines."""

    def __init__(self, fd: int = STDERR, **always: object) -> None:
        self._fd = fd
        self._always = always
        self._last: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def info(self, event: str, **fields: object) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        now = time.monotonic()
        if now - self._last.get(event, -1.0) < 1.0:
            self._suppressed[event] = self._suppressed.get(event, 0) + 1
            return
        self._last[event] = now
        if suppressed := self._suppressed.pop(event, 0):
            fields = {**fields, "suppressed": suppressed}
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": moment, "level": level, "event": event, **self._always, **fields}, default=str)
        try:
            os.write(self._fd, line.encode() + b"\n")
        except OSError:
            # The reader of stderr may die before the router, which goes on.
            return
