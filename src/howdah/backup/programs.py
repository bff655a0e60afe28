"""What WAL says of transactions and tablespaces, as ``pg_waldump`` reads it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from howdah.backup.confined import confined
from howdah.backup.errors import BackupError, DamageError
from howdah.backup.wal import Segment, lsn, lsn_text

_ASKED_EVERY = 0.5
_PLACE = re.compile(r"\b([0-9A-F]{1,8}/[0-9A-F]{1,8})\b")
_FILE = re.compile(r"\b([0-9A-F]{24})\b")
_FIELDS = r"rmgr: {}\s+len \(rec/tot\):\s*\d+/\s*\d+, tx:\s*\d+, lsn: ([0-9A-F]+/[0-9A-F]+), prev [0-9A-F]+/[0-9A-F]+, "
_ENDED = re.compile(
    _FIELDS.format("Transaction") + r"desc: (?:COMMIT|ABORT)\S* .*?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC"
)
_TABLESPACE = re.compile(_FIELDS.format("Tablespace") + "desc: CREATE ")
"""From the beginning of a line on: what follows ``desc:`` is in part a tenant's own words."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Postgres' programs of the backup's major version. ``environment``: what they run with; its zone must be UTC."""

    directory: Path
    environment: Mapping[str, str]

    def command(
        self,
        name: str,
        *arguments: str | Path,
        read: Iterable[Path] = (),
        write: Iterable[Path] = (),
        largest: int | None = None,
        outlives: bool = False,
        alone: bool = False,
        becoming: Sequence[str] = (),
    ) -> list[str]:
        """What runs it, confined: see there. ``becoming``: what makes it run as another user."""
        libraries = map(Path, filter(None, self.environment.get("LD_LIBRARY_PATH", "").split(":")))
        own = [self.directory.parent, self.directory.resolve().parent, *libraries]
        program = [*becoming, str(self.directory / name), *map(str, arguments)]
        return confined(program, read=[*own, *read], write=write, largest=largest, outlives=outlives, alone=alone)


def run(command: Sequence[str], environment: Mapping[str, str], go_on: Callable[[], None]) -> str | None:
    """Run to its end; None when all went well, else what it said. ``go_on``: asked all the time; what it raises ends
    the program."""
    with subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as child:
        try:
            while True:
                try:
                    _, said = child.communicate(timeout=_ASKED_EVERY)
                    break
                except subprocess.TimeoutExpired:
                    go_on()
        except BaseException:
            child.kill()
            raise
    return None if child.returncode == 0 else said.strip()[-500:] or f"exit status {child.returncode}"


@dataclass(frozen=True, slots=True)
class Ended:
    """A transaction was committed or rolled back."""

    at: datetime


@dataclass(frozen=True, slots=True)
class TablespaceMade:
    """``position``: of its record."""

    position: int


@dataclass(frozen=True, slots=True)
class End:
    """No record follows ``position``, or none that is whole."""

    position: int


def records(
    programs: Programs, wal: Path, wal_timeline: int, start: int, last: Segment
) -> Iterator[Ended | TablespaceMade | End]:
    """From the position ``start`` to the end of what lies in the directory ``wal``, whose last segment is ``last``, in
    order; ``End`` is the last.

    Raises BackupError when ``pg_waldump`` does not say where it ends: then nobody knows what has not been read.
    """
    # Not told where that is, it would wait for five seconds for the segment behind the last one.
    end = last.next().start
    command = programs.command(
        *("pg_waldump", "--rmgr=Transaction", "--rmgr=Tablespace", "--path", wal),
        *("--timeline", str(wal_timeline), "--start", lsn_text(start), "--end", lsn_text(end)),
        read=[wal],
    )
    with subprocess.Popen(
        command,
        env=dict(programs.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as dump:
        assert dump.stdout is not None
        assert dump.stderr is not None
        try:
            for line in dump.stdout:
                if (made := _TABLESPACE.match(line)) is not None:
                    yield TablespaceMade(lsn(made[1]))
                elif (ended := _ENDED.match(line)) is not None:
                    yield Ended(_moment(ended[2]))
            said = dump.stderr.read()
            yield End(end if dump.wait() == 0 else _end(said))
        finally:
            dump.kill()


def _end(said: str) -> int:
    """That WAL ends within a segment is an error to it: its words name the place."""
    found = [lsn(place) for place in _PLACE.findall(said)]
    found += [segment.start for name in _FILE.findall(said) if (segment := Segment.parse(name)) is not None]
    if not found:
        raise BackupError(f"pg_waldump failed: {said.strip()[-500:] or 'it says nothing'}")
    return max(found)


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(f"{text}+0000", "%Y-%m-%d %H:%M:%S.%f%z")
    except ValueError:
        raise DamageError(f"WAL has a transaction that ended at {text}, which is no moment") from None
