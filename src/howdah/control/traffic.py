"""How many bytes went through the router, by service, as its processes tell."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from howdah.domain.ids import ServiceId
from howdah.domain.metrics import Traffic
from howdah.domain.routes import Moved, decode_moved


class TrafficCounts:
    """``directory``: of the router. A file that cannot be read counts as it was when it could be."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._told: dict[str, tuple[int, Moved]] = {}

    def read(self) -> None:
        """Take notice of what was told since the last time. Blocks for a moment."""
        for file in self._directory.glob("traffic-*.json"):
            with suppress(OSError, ValueError):
                stamp = file.stat().st_mtime_ns
                if file.name not in self._told or self._told[file.name][0] != stamp:
                    self._told[file.name] = stamp, decode_moved(file.read_bytes())

    def of(self, service: ServiceId) -> Traffic:
        """By all names of the service (``domain/routes.py``)."""
        keys = (service.ubid, f"{service.ubid}-ro")
        counts = [moved.get(key, (0, 0)) for _, moved in self._told.values() for key in keys]
        return Traffic(sum(received for received, _ in counts), sum(sent for _, sent in counts))
