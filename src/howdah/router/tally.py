"""How many bytes went through, by service, in a file for whoever measures that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from howdah.domain.routes import Moved, decode_moved, encode_moved
from howdah.router.log import Log

TELL_SECONDS = 2.0


def tally_file(status_file: Path, worker: int) -> Path:
    return status_file.with_name(f"traffic-{worker}.json")


class Tally:
    """The file of one process (``domain/routes.py``), replaced by rename when something has changed. It goes on from
    what is there: an earlier process with that number has written it. One that cannot be written is written later."""

    def __init__(self, file: Path, log: Log) -> None:
        self._file = file
        self._log = log
        self._next = 0.0
        self._told = self._before = _read(file)

    def is_due(self, now: float) -> bool:
        return now >= self._next

    def tell(self, now: float, moved: Moved, is_gone: Callable[[str], bool]) -> None:
        """``moved``: through this process, since it began. ``is_gone``: of a service of which nothing is to be told."""
        self._next = now + TELL_SECONDS
        total = {
            service: _sum(service, self._before, moved) for service in {*self._before, *moved} if not is_gone(service)
        }
        if total == self._told:
            return
        fresh = self._file.with_name(f"{self._file.name}.new")
        try:
            fresh.write_bytes(encode_moved(total))
            fresh.replace(self._file)
        except FileNotFoundError:
            return  # With its directory it has lost its status file, which says more (``Claim``).
        except OSError as error:
            self._log.error("traffic_not_written", error=str(error))
        else:
            self._told = total


def _read(file: Path) -> Moved:
    try:
        return decode_moved(file.read_bytes())
    except (OSError, ValueError):
        return {}


def _sum(service: str, *parts: Moved) -> tuple[int, int]:
    counts = [part.get(service, (0, 0)) for part in parts]
    return sum(received for received, _ in counts), sum(sent for _, sent in counts)
