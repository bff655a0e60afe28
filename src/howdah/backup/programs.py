"""What WAL says of transactions and tablespaces, as ``pg_waldump`` reads it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from howdah.backup.confined import confined
from howdah.backup.wal import lsn, lsn_text

_ENDED = re.compile(r"desc: (?:COMMIT|ABORT)\S* .*?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC")
_TABLESPACE = re.compile(r"rmgr: Tablespace .* lsn: ([0-9A-F]+/[0-9A-F]+), .* desc: CREATE ")


@dataclass(frozen=True, slots=True)
class Programs:
    """Postgres' programs of the backup's major version. ``environment``: what they run with; its zone must be UTC."""

    directory: Path
    environment: Mapping[str, str]

    def command(
        self, name: str, *arguments: str | Path, read: Iterable[Path] = (), write: Iterable[Path] = ()
    ) -> list[str]:
        """``read``, ``write``: all that it may touch."""
        libraries = map(Path, filter(None, self.environment.get("LD_LIBRARY_PATH", "").split(":")))
        own = [self.directory.parent, self.directory.resolve().parent, *libraries]
        return confined([str(self.directory / name), *map(str, arguments)], read=[*own, *read], write=write)


@dataclass(frozen=True, slots=True)
class Ended:
    """A transaction was committed or rolled back."""

    at: datetime


@dataclass(frozen=True, slots=True)
class TablespaceMade:
    """``position``: of its record."""

    position: int


def records(programs: Programs, wal: Path, wal_timeline: int, start: int) -> Iterator[Ended | TablespaceMade]:
    """From the position ``start`` to the end of what lies in the directory ``wal``, in order."""
    command = programs.command(
        *("pg_waldump", "--rmgr=Transaction", "--rmgr=Tablespace", "--path", wal),
        *("--timeline", str(wal_timeline), "--start", lsn_text(start)),
        read=[wal],
    )
    # Its end is an error to it, as there is always a place where WAL ends.
    with subprocess.Popen(
        command, env=dict(programs.environment), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as dump:
        assert dump.stdout is not None
        try:
            for line in dump.stdout:
                if (made := _TABLESPACE.search(line)) is not None:
                    yield TablespaceMade(lsn(made[1]))
                elif (ended := _ENDED.search(line)) is not None:
                    yield Ended(datetime.strptime(f"{ended[1]}+0000", "%Y-%m-%d %H:%M:%S.%f%z"))
        finally:
            dump.kill()
