"""How many bytes went through the router, by service: what its processes have told, added up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from howdah.domain.ids import ServiceId
from howdah.domain.metrics import Traffic

_NONE = (0, 0)


@dataclass(frozen=True, slots=True)
class _Told:
    """``stamp``: of its file. ``since``: names the count; one that begins anew has another."""

    stamp: tuple[int, int]
    since: str
    moved: Mapping[str, tuple[int, int]]


class TrafficCounts:
    """Counts that a process of the router begins anew go on here, as long as this lives."""

    def __init__(self, directory: Path) -> None:
        """``directory``: of the router."""
        self._directory = directory
        self._told: dict[str, _Told] = {}
        self._total: dict[str, tuple[int, int]] = {}

    def read(self) -> None:
        """Take notice of what was told since the last time. Blocks for a moment."""
        for file in self._directory.glob("traffic-*.json"):
            with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):
                self._take(file)

    def of(self, service: ServiceId) -> Traffic:
        """By all names of the service (``domain/routes.py``)."""
        counts = [self._total.get(key, _NONE) for key in (service.ubid, f"{service.ubid}-ro")]
        return Traffic(sum(received for received, _ in counts), sum(sent for _, sent in counts))

    def _take(self, file: Path) -> None:
        status = file.stat()
        stamp = (status.st_mtime_ns, status.st_ino)
        before = self._told.get(file.name)
        if before is not None and before.stamp == stamp:
            return
        raw: dict[str, Any] = json.loads(file.read_bytes())
        moved = {str(key): (int(one[0]), int(one[1])) for key, one in raw["bytes"].items()}
        told = _Told(stamp, str(raw["since"]), moved)
        same = before is not None and before.since == told.since
        already: Mapping[str, tuple[int, int]] = before.moved if before is not None and same else {}
        for key, (received, sent) in moved.items():
            was_received, was_sent = already.get(key, _NONE)
            total_received, total_sent = self._total.get(key, _NONE)
            self._total[key] = (total_received + received - was_received, total_sent + sent - was_sent)
        self._told[file.name] = told
        live = {key for one in self._told.values() for key in one.moved}
        self._total = {key: total for key, total in self._total.items() if key in live}
