"""``howdah restore``: a plain data directory from an archive. Needs no store, no server and no state directory."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from howdah.cli.options import ConfigOption, JsonOption
from howdah.cli.output import note, show_json
from howdah.domain.backups import parse_target
from howdah.domain.errors import BadRequest, SetupError
from howdah.domain.ids import TimelineId
from howdah.domain.settings import BackupSettings
from howdah.domain.states import PostgresVersion

if TYPE_CHECKING:
    from howdah.backup.archive import Archive, TimelineArchive
    from howdah.backup.programs import Programs

Where = Annotated[str, typer.Option(metavar="WHERE", help="The archive: a directory, or s3://bucket/prefix.")]
Timeline = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Whose backups (pt…). Not needed while there is one only.", show_default=False),
]
Target = Annotated[str, typer.Option(metavar="MOMENT", help="RFC 3339 with a zone, to the microsecond, or latest.")]
Endpoint = Annotated[str, typer.Option("--s3-endpoint", metavar="URL", help="Of an S3-compatible store; else AWS.")]
CaFile = Annotated[
    Path | None,
    typer.Option("--s3-ca-file", metavar="FILE", help="PEM of the CA of the store's certificate.", show_default=False),
]
ProgramsDirectory = Annotated[
    Path | None,
    typer.Option(
        "--programs",
        metavar="BIN",
        help="Postgres' programs of the backup's major version. Default: those of Howdah.",
        show_default=False,
    ),
]
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The new data directory; not there, or empty.")]


def restore(
    directory: Directory,
    archive: Where,
    timeline: Timeline = None,
    target: Target = "latest",
    programs: ProgramsDirectory = None,
    s3_endpoint: Endpoint = "",
    s3_ca_file: CaFile = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a data directory that recovers to a moment when Postgres starts in it, from an archive alone.

    Credentials of a store are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    """
    from howdah.backup.assemble import assemble, contents, write_settings
    from howdah.backup.restorable import plan
    from howdah.domain.moments import text

    moment = None if target == "latest" else parse_target(target)
    found = _timeline(_open(archive, s3_endpoint, s3_ca_file), timeline)
    # What cannot be restored is said before anything is downloaded.
    full = plan(contents(found), moment).chain[-1].postgres
    version = _major(full)
    used = _given(programs, version) if programs is not None else _own(version, config)
    place = directory.absolute()
    try:
        restored = assemble(found, moment, place, used)
        write_settings(place, restored.target)
    except OSError as error:
        raise SetupError(f"{place} cannot be made: {error.strerror or error}") from None
    said = "latest" if moment is None else text(moment)
    if as_json:
        show_json(
            {
                "directory": str(place),
                "timeline": found.id.ubid,
                "postgresVersion": full,
                "target": said,
                "backups": [base.name for base in restored.chain],
                "walSegments": len(restored.wal),
            }
        )
        return
    note(f"{place} recovers to {said} when Postgres {version} starts in it: pg_ctl -D {place} -w start")


def _open(where: str, endpoint: str, ca_file: Path | None) -> Archive:
    from howdah.backup.archive import open_archive
    from howdah.backup.objects import S3

    place = where
    if not where.startswith(S3):
        if not Path(where).is_dir():
            raise SetupError(f"there is no archive in {where}: it is no directory")
        place = str(Path(where).absolute())
    return open_archive(BackupSettings(archive=place, s3_endpoint=endpoint, s3_ca_file=ca_file), Path())


def _timeline(archive: Archive, wanted: str | None) -> TimelineArchive:
    there = archive.timelines()
    names = ", ".join(one.ubid for one in there)
    if wanted is None:
        if len(there) == 1:
            return archive.timeline(there[0])
        raise BadRequest(
            f"there are {len(there)} timelines in {archive.name}; say which with --timeline: {names}"
            if there
            else f"{archive.name} holds no timeline"
        )
    try:
        identifier = TimelineId.parse(wanted)
    except ValueError:
        raise BadRequest(f"--timeline {wanted!r} is no timeline's id; in {archive.name} there are: {names}") from None
    if identifier not in there:
        raise BadRequest(f"there is no timeline {wanted} in {archive.name}; there are: {names or 'none'}")
    return archive.timeline(identifier)


def _major(full: str) -> PostgresVersion:
    try:
        return PostgresVersion(full.split(".", maxsplit=1)[0])
    except ValueError:
        raise SetupError(f"the backup is of Postgres {full}, which this Howdah does not know") from None


def _own(version: PostgresVersion, config: Path | None) -> Programs:
    from howdah.backup.programs import Programs
    from howdah.cli.settings import settings_for
    from howdah.engines.local.binaries import cache_directory, ensure_binaries

    configured = settings_for(None, config).postgres.binaries
    binaries = ensure_binaries(version, configured or cache_directory() / "postgres", note)
    return Programs(binaries.root / "bin", binaries.environment)


def _given(directory: Path, version: PostgresVersion) -> Programs:
    from howdah.backup.programs import Programs
    from howdah.engines.local.binaries import LOCALE

    programs = Programs(directory.absolute(), {"PATH": "/usr/bin:/bin", **LOCALE})
    try:
        command = programs.command("pg_waldump", "--version")
        said = subprocess.run(
            command, env=dict(programs.environment), capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"--programs {directory} has no pg_waldump that runs: {error}") from None
    if said.rpartition(" ")[2].split(".")[0] != version:
        raise SetupError(f"--programs {directory} has {said}; the backup needs those of Postgres {version}")
    return programs
