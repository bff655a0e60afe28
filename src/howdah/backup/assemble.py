"""A plain data directory from an archive: what any Postgres of its major version recovers to the target when it starts.

Needs the archive and Postgres' programs, nothing else of Howdah.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from howdah.backup.archive import TimelineArchive
from howdah.backup.errors import BackupError, DamageError, NotRestorableError
from howdah.backup.restorable import Contents, RestorePlan, plan
from howdah.backup.unpack import unpack
from howdah.backup.wal import history_name, lsn, lsn_text
from howdah.domain.backups import BaseBackup

WAL = "archived_wal"
"""Where the WAL to replay lies, in the data directory; it can be deleted once the server has been promoted."""

_LATER = ".restoring"
_END = re.compile(r"desc: (?:COMMIT|ABORT)\S* .*?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC")
"""The end of a transaction as pg_waldump prints it."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Postgres' programs of the backup's major version. ``environment``: what they run with."""

    directory: Path
    environment: Mapping[str, str]

    def command(self, name: str, *arguments: str | Path) -> list[str]:
        return [str(self.directory / name), *map(str, arguments)]


def contents(archive: TimelineArchive) -> Contents:
    """What there is to restore from. Raises StoreError, DamageError."""
    return Contents(archive.bases(), archive.wal(), archive.histories(), archive.gaps())


def assemble(archive: TimelineArchive, target: datetime | None, directory: Path, programs: Programs) -> RestorePlan:
    """Make ``directory``, which must not be there or be empty. What an earlier call began is begun anew.

    Raises NotRestorableError, DamageError, StoreError; then nothing is in ``directory``.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise NotRestorableError(f"{directory} is not an empty directory; name a new one")
    wanted = plan(contents(archive), target)
    scratch = directory.with_name(directory.name + _LATER)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700, parents=True)
    try:
        data = scratch / "data"
        _fill(archive, wanted.chain, scratch, data, programs)
        (data / WAL).mkdir(mode=0o700)
        for name in _wal_names(wanted):
            if not archive.fetch_wal(name, data / WAL / name):
                raise DamageError(f"{name} is missing in the archive")
        until = target if target is not None and _has_later(wanted, target, data / WAL, programs) else None
        _prepare_recovery(data, until, directory)
        if directory.exists():
            directory.rmdir()
        os.rename(data, directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return wanted


def _fill(archive: TimelineArchive, chain: Sequence[BaseBackup], scratch: Path, data: Path, programs: Programs) -> None:
    parts: list[Path] = []
    for number, base in enumerate(chain):
        fetched, part = scratch / f"{number}.stored", scratch / str(number)
        fetched.mkdir()
        for name in base.files:
            if name.endswith(".tar.zst"):
                archive.fetch_base(base, name, fetched / name)
        unpack(fetched, part)
        archive.manifest(base, part / "backup_manifest")
        shutil.rmtree(fetched)
        parts.append(part)
    if len(parts) == 1:
        (parts[0] / "backup_manifest").unlink()
        os.rename(parts[0], data)
        return
    _run(programs, programs.command("pg_combinebackup", "--no-sync", "--output", data, *parts))
    (data / "backup_manifest").unlink(missing_ok=True)
    for part in parts:
        shutil.rmtree(part)


def _wal_names(wanted: RestorePlan) -> Iterator[str]:
    yield from map(history_name, wanted.histories)
    yield from (segment.name for segment in wanted.wal)


def _has_later(wanted: RestorePlan, target: datetime, wal: Path, programs: Programs) -> bool:
    """Whether a transaction ended after ``target``. Without one Postgres refuses to end there, and all that there is
    is what was there at the target."""
    first = lsn(wanted.chain[-1].start_lsn)
    for line in sorted({segment.wal_timeline for segment in wanted.wal}):
        begin = max(first, min(one.start for one in wanted.wal if one.wal_timeline == line))
        command = programs.command(
            *("pg_waldump", "--rmgr=Transaction", "--path", wal),
            *("--timeline", str(line), "--start", lsn_text(begin)),
        )
        # Its end is an error to it, as there is always a place where WAL ends.
        with subprocess.Popen(
            command, env=dict(programs.environment), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as dump:
            assert dump.stdout is not None
            later = any(moment > target for moment in map(_ended_at, dump.stdout) if moment is not None)
            dump.kill()
        if later:
            return True
    return False


def _ended_at(line: str) -> datetime | None:
    found = _END.search(line)
    return None if found is None else datetime.strptime(f"{found[1]}+0000", "%Y-%m-%d %H:%M:%S.%f%z")


def _prepare_recovery(data: Path, target: datetime | None, directory: Path) -> None:
    place = str(directory / WAL).replace("'", "''").replace("%", "%%")
    settings = {
        "restore_command": f'cp "{place}/%f" "%p"',
        "recovery_target_timeline": "latest",
        "recovery_target_action": "promote",
        # Recovery stops at directories in pg_tblspc that are no links, which is what tablespaces have become.
        "allow_in_place_tablespaces": "on",
    }
    if target is not None:
        # Postgres does not read the T and the Z of RFC 3339.
        settings["recovery_target_time"] = f"{target.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00"
    with (data / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    (data / "recovery.signal").touch(mode=0o600)


def _run(programs: Programs, command: Sequence[str]) -> None:
    done = subprocess.run(command, env=dict(programs.environment), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BackupError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-500:]}")
