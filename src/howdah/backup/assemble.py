"""A plain data directory from an archive: what any Postgres of its major version recovers to the target when it starts.

Needs the archive and Postgres' programs, nothing else of Howdah.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from howdah.backup.archive import TimelineArchive
from howdah.backup.errors import BackupError, DamageError, NotRestorableError
from howdah.backup.programs import End, Ended, Programs, TablespaceMade, records, run
from howdah.backup.restorable import Contents, RestorePlan, plan
from howdah.backup.tablespaces import make_in_place
from howdah.backup.unpack import command as unpack_command
from howdah.backup.wal import ARCHIVED as WAL
from howdah.backup.wal import history_name, lsn, lsn_text

_LATER = ".restoring"
Progress = Callable[[str, float], None]
"""Told what is being done, and how much of all is done, from 0 to 1. What it raises ends the work."""


def contents(archive: TimelineArchive) -> Contents:
    """What there is to restore from. Raises StoreError, DamageError."""
    return Contents(archive.bases(), archive.wal(), archive.histories(), archive.gaps())


def assemble(
    archive: TimelineArchive,
    target: datetime | None,
    directory: Path,
    programs: Programs,
    progress: Progress = lambda _, __: None,
) -> RestorePlan:
    """Make ``directory``, which must not be there or be empty, ready to be recovered by a server that starts in it.
    What an earlier call began is begun anew. Returns what it was made from; its target is None when no transaction
    ended after the one that was asked for, so that all there is is to be replayed.

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
        _fill(archive, wanted, scratch, data, programs, progress)
        # A backup of a server that was restored itself may have one.
        shutil.rmtree(data / WAL, ignore_errors=True)
        (data / WAL).mkdir(mode=0o700)
        names = list(_wal_names(wanted))
        for number, name in enumerate(names):
            progress(f"fetching WAL segment {name}", _BASES + (1 - _BASES) * number / len(names))
            if not archive.fetch_wal(name, data / WAL / name):
                raise DamageError(f"{name} is missing in the archive")
        progress("reading the WAL", 1.0)
        until = target if _is_end(wanted, target, data / WAL, programs) else None
        if until is None and wanted.broken is not None:
            raise DamageError(wanted.broken)
        for name in ("standby.signal", "backup_manifest", "tablespace_map"):
            (data / name).unlink(missing_ok=True)
        (data / "recovery.signal").touch(mode=0o600)
        if directory.exists():
            directory.rmdir()
        os.rename(data, directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return replace(wanted, target=until)


_BASES = 0.7
"""How much of the work the base backups are, by experience."""


def _fill(
    archive: TimelineArchive, wanted: RestorePlan, scratch: Path, data: Path, programs: Programs, progress: Progress
) -> None:
    chain = wanted.chain
    parts: list[Path] = []
    for number, base in enumerate(chain):
        fetched, part = scratch / f"{number}.stored", scratch / str(number)
        fetched.mkdir()
        for name in base.files:
            progress(f"fetching the base backup {base.name}", _BASES * number / len(chain))
            if name.endswith(".tar.zst"):
                archive.fetch_base(base, name, fetched / name)
        unpacking = partial(progress, f"unpacking the base backup {base.name}", _BASES * (number + 0.5) / len(chain))
        unpacking()
        if (problem := run(unpack_command(fetched, part), {}, unpacking)) is not None:
            raise DamageError(problem)
        archive.manifest(base, part / "backup_manifest")
        shutil.rmtree(fetched)
        parts.append(part)
    if len(parts) == 1:
        os.rename(parts[0], data)
        return
    combining = partial(progress, "combining the base backups", _BASES)
    combining()
    command = programs.command("pg_combinebackup", "--no-sync", "--output", data, *parts, write=[scratch])
    if (problem := run(command, programs.environment, combining)) is not None:
        raise BackupError(f"pg_combinebackup failed: {problem}")
    for part in parts:
        shutil.rmtree(part)


def _wal_names(wanted: RestorePlan) -> Iterator[str]:
    yield from map(history_name, wanted.histories)
    yield from (segment.name for segment in wanted.wal)


def _is_end(wanted: RestorePlan, target: datetime | None, wal: Path, programs: Programs) -> bool:
    """Whether recovery can end at ``target``: a transaction ended after it. Without one Postgres refuses to end there,
    and all that there is is what was there at the target.

    Tablespaces that were made on the way there become part of the data directory.
    """
    first = lsn(wanted.chain[-1].start_lsn)
    for line in sorted({segment.wal_timeline for segment in wanted.wal}):
        begin = max(first, min(one.start for one in wanted.wal if one.wal_timeline == line))
        made: list[int] = []
        later = False
        for record in records(programs, wal, line, begin):
            match record:
                case TablespaceMade(position):
                    made.append(position)
                case Ended(at) if target is not None and at > target:
                    later = True
                    break
                case End(position):
                    _check_end(wanted, line, position)
                case _:
                    pass
        for position in made:
            make_in_place(wal, line, position)
        if later:
            return True
    return False


def _check_end(wanted: RestorePlan, wal_timeline: int, position: int) -> None:
    """Raises DamageError when recovery would take a record that cannot be read for the end of all WAL."""
    last = wanted.wal[-1]
    if wal_timeline == last.wal_timeline and position < last.start:
        raise DamageError(
            f"the WAL cannot be read beyond {lsn_text(position)}, though there is more of it:"
            " what is later cannot be restored"
        )


def recovery_settings(target: datetime | None, data: Path) -> dict[str, str]:
    """With which a server recovers in ``data``, which was assembled, and then lets clients in."""
    return {
        "restore_command": f"cp {shlex.quote(str(data / WAL)).replace('%', '%%')}/%f %p",
        "recovery_target": "",
        "recovery_target_lsn": "",
        "recovery_target_name": "",
        "recovery_target_xid": "",
        # Postgres does not read the T and the Z of RFC 3339.
        "recovery_target_time": "" if target is None else f"{target.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00",
        "recovery_target_inclusive": "on",
        "recovery_target_timeline": "latest",
        "recovery_min_apply_delay": "0",
        "recovery_target_action": "promote",
        # Recovery stops at directories in pg_tblspc that are no links, which is what tablespaces have become.
        "allow_in_place_tablespaces": "on",
    }


def write_settings(data: Path, target: datetime | None) -> None:
    """For a server that is started by hand."""
    settings = recovery_settings(target, data).items()
    with (data / "postgresql.auto.conf").open("a") as file:
        file.writelines("{} = '{}'\n".format(name, value.replace("'", "''")) for name, value in settings)
