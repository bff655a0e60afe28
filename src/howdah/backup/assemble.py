"""A plain data directory from an archive: what any Postgres of its major version recovers to the target when it starts.

Needs the archive and Postgres' programs, nothing else of Howdah.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from howdah.backup.archive import TimelineArchive
from howdah.backup.errors import BackupError, DamageError, NotRestorableError
from howdah.backup.programs import Programs, run
from howdah.backup.reading import WalReading
from howdah.backup.restorable import Contents, RestorePlan, plan
from howdah.backup.unpack import command as unpack_command
from howdah.backup.wal import ARCHIVED as WAL

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
        with WalReading(archive, wanted, scratch / WAL, programs) as reading:
            _fill(archive, wanted, scratch, data, programs, progress)
            ends = reading.reaches(lambda done: progress("reading the WAL", _BASES + (1 - _BASES) * done))
        # A backup of a server that was restored itself may have one.
        shutil.rmtree(data / WAL, ignore_errors=True)
        os.rename(scratch / WAL, data / WAL)
        until = target if ends else None
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
