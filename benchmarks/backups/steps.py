"""Where the time of Howdah goes, seen from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from backups.service import Service

_POLL = 0.02


class BackupSteps:
    """Of one base backup, by the files that appear."""

    def __init__(self, service: Service) -> None:
        self._stored = service.archive / "base"
        self._spool = service.server.state / "spool" / service.archive.name / "base"
        self._before = _names(self._stored)
        self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def follow(self) -> None:
        """Returns when it is in the archive."""
        self._until("waiting for its turn", lambda: bool(_names(self._spool)))
        self._until("pg_basebackup", lambda: any(self._spool.glob("*/backup_manifest")))
        self._until("pg_verifybackup", lambda: bool(self._new()))
        self._until("into the archive", lambda: any((each / "backup.json").exists() for each in self._new()))

    def note(self, name: str) -> None:
        """What has just ended."""
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now

    def _new(self) -> list[Path]:
        return [self._stored / name for name in _names(self._stored) - self._before]

    def _until(self, name: str, reached: Callable[[], bool]) -> None:
        while not reached():
            time.sleep(_POLL)
        self.note(name)


class RestoreSteps:
    """Of one restoration, by the files that appear; a thread looks while the block goes on.

    began: when it was asked for. The seconds of what has ended, the last of them at the end of the block.
    """

    def __init__(self, service: Service, restored: str, *, began: float) -> None:
        state = service.server.state
        made = state / "pool" / "restored" / restored
        scratch = made.with_name(f"{restored}.restoring")
        home = state / "services" / restored
        self._last = began
        self._steps: dict[str, Callable[[], bool]] = {
            "waiting for the archive": lambda: scratch.exists() or made.exists(),
            "fetching the base backup": lambda: (scratch / "0").exists() or made.exists(),
            "unpacking it": lambda: (scratch / "data").exists() or made.exists(),
            "fetching and reading the WAL": lambda: made.exists() or any(home.glob("*/data/PG_VERSION")),
            "putting it in place, durably": lambda: any(home.glob("*/data/postmaster.pid")),
            "starting and replaying": lambda: any(map(is_ready, home.glob("*/data"))),
        }
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seconds: dict[str, float] = {}
        self._note("until POST is answered")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._note("until the first query is answered")

    def _look(self) -> None:
        for name, ended in self._steps.items():
            while not ended():
                if self._over.wait(_POLL):
                    return
            self._note(name)

    def _note(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now


def is_ready(data: Path) -> bool:
    """Whether the server of this data directory lets clients in, as it says itself."""
    with suppress(FileNotFoundError):
        return (data / "postmaster.pid").read_text().rstrip().endswith("ready")
    return False


def _names(directory: Path) -> set[str]:
    return {each.name for each in directory.iterdir()} if directory.is_dir() else set()
