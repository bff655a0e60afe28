"""How many bytes went through, by service, in a file for whoever measures that."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from howdah.router.log import Log

TELL_SECONDS = 5.0


def tally_file(status_file: Path, worker: int) -> Path:
    return status_file.with_name(f"traffic-{worker}.json")


class Tally:
    """A file of JSON of one process, replaced by rename when something has changed:

        {"since": "<names a count, which began with nothing>",
         "bytes": {"<key of a route>": [<from clients>, <to them>]}}

    One that cannot be written is written later.
    """

    def __init__(self, file: Path, log: Log) -> None:
        self._file = file
        self._log = log
        self._since = f"{os.getpid()}.{time.time_ns()}"
        self._next = 0.0
        self._told: Mapping[str, tuple[int, int]] = {}

    def is_due(self, now: float) -> bool:
        return now >= self._next

    def tell(self, now: float, moved: Mapping[str, tuple[int, int]]) -> None:
        self._next = now + TELL_SECONDS
        if moved == self._told:
            return
        fresh = self._file.with_name(f"{self._file.name}.new")
        try:
            fresh.write_text(json.dumps({"since": self._since, "bytes": moved}))
            fresh.replace(self._file)
        except OSError as error:
            self._log.error("traffic_not_written", error=str(error))
        else:
            self._told = moved
