"""One base backup: taken by Postgres' own program, verified, put into the archive. Until then it does not count."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from howdah.backup.archive import TimelineArchive
from howdah.backup.errors import BackupError
from howdah.backup.programs import Programs
from howdah.backup.unpack import command as unpacking
from howdah.domain.backups import BackupKind, BaseBackup, backup_name
from howdah.engines.local.archiving.receiver import CLIENT
from howdah.engines.local.archiving.spool import Spool
from howdah.engines.local.archiving.whole import run_whole
from howdah.engines.local.binaries import Binaries
from howdah.engines.local.connection import connect

MANIFEST = "backup_manifest"
_BEHIND_TENANTS = ("nice", "-n", "10")
STALLED_SECONDS = 600.0
"""A base backup that has written nothing for so long is given up."""

_WORDS, _KEPT = 500, 1 << 16
_DAMAGED = re.compile(r'^WARNING:\s+(checksum verification failed in file ".{1,300}?", block \d+)', re.MULTILINE)
_NAMED = 5
"""Damaged pages that are named."""

LARGEST_MANIFEST = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """The server that is backed up. ``rate_mib``: MiB/s that it may be read with; 0 is no limit. ``largest``: bytes of
    a file that its backup may have."""

    binaries: Binaries
    sockets: Path
    port: int
    pid: int
    rate_mib: int
    largest: int


async def take_base(
    source: Source, spool: Spool, archive: TimelineArchive, parent: BaseBackup | None, *, request: int
) -> BaseBackup:
    """Raises BackupError when Postgres' programs fail, StoreError, Unavailable, OSError; nothing counts then.

    Safe to be cancelled: the program ends with it.
    """
    await asyncio.to_thread(_clear, spool)
    started = datetime.now(UTC)
    kind = BackupKind.FULL if parent is None else BackupKind.INCREMENTAL
    name = backup_name(started, kind)
    directory = spool.base / name
    try:
        elsewhere = await tablespaces(source.sockets, source.port, source.pid)
        options = await _options(source, spool, archive, parent)
        programs, environment = _programs(source)
        command = programs.command(
            "pg_basebackup", f"--pgdata={directory}", *options, write=[spool.base], largest=source.largest
        )
        await run_child("pg_basebackup", command, environment, grows=directory)
        finished = datetime.now(UTC)
        await _verify(source, directory, spool.base / "unpacked")
        facts = await asyncio.to_thread(_manifest_facts, directory / MANIFEST)
        taken = BaseBackup(
            name=name,
            kind=kind,
            parent=parent.name if parent is not None else None,
            postgres=source.binaries.full,
            system_identifier=facts.system_identifier,
            started_at=started,
            finished_at=finished,
            start_lsn=facts.start_lsn,
            stop_lsn=facts.stop_lsn,
            wal_timeline=facts.wal_timeline,
            stored_bytes=0,
            data_bytes=facts.data_bytes,
            files={},
            tablespaces=elsewhere,
            request=request,
        )
        return await run_whole(archive.put_base, taken, directory)
    finally:
        shutil.rmtree(spool.base, ignore_errors=True)


def _clear(spool: Spool) -> None:
    shutil.rmtree(spool.base, ignore_errors=True)
    spool.base.mkdir(mode=0o700, parents=True)


async def _options(source: Source, spool: Spool, archive: TimelineArchive, parent: BaseBackup | None) -> list[str]:
    options = [
        *("--format=tar", "--compress=client-zstd:1", "--wal-method=none", "--checkpoint=fast"),
        *("--manifest-checksums=CRC32C", "--no-sync"),
        *(f"--host={source.sockets}", f"--port={source.port}", "--username=postgres", "--no-password"),
    ]
    if source.rate_mib:
        options.append(f"--max-rate={source.rate_mib}M")
    if parent is not None:
        manifest = spool.base / "parent_manifest"
        await asyncio.to_thread(archive.manifest, parent, manifest)
        options.append(f"--incremental={manifest}")
    return options


async def tablespaces(sockets: Path, port: int, pid: int) -> dict[str, str]:
    """Location by OID, of those outside of the data directory. Raises Unavailable."""
    async with connect(str(sockets), port, pid=pid) as connection:
        found = await connection.execute(
            "SELECT oid::text, pg_tablespace_location(oid) FROM pg_tablespace"
            " WHERE pg_tablespace_location(oid) LIKE '/%'"
        )
        return dict(await found.fetchall())


async def _verify(source: Source, directory: Path, unpacked: Path) -> None:
    if int(source.binaries.full.split(".")[0]) >= 18:
        await _run(source, "pg_verifybackup", "--no-parse-wal", str(directory), read=[directory])
        return
    # 17 cannot read what is packed.
    await run_child("unpacking", unpacking(directory, unpacked), {})
    shutil.copy(directory / MANIFEST, unpacked / MANIFEST)
    options = ["--no-parse-wal", "--ignore=tablespace_map"]
    await _run(source, "pg_verifybackup", *options, str(unpacked), read=[unpacked])
    await asyncio.to_thread(shutil.rmtree, unpacked)


async def _run(source: Source, program: str, *arguments: str, read: Sequence[Path] = ()) -> None:
    programs, environment = _programs(source)
    await run_child(program, programs.command(program, *arguments, read=read), environment)


def _programs(source: Source) -> tuple[Programs, dict[str, str]]:
    # Damaged pages are named in warnings.
    options = f"{CLIENT['PGOPTIONS']} -c client_min_messages=warning"
    environment = source.binaries.environment | CLIENT | {"PGAPPNAME": "howdah_backup", "PGOPTIONS": options}
    return Programs(source.binaries.root / "bin", environment), environment


async def run_child(
    called: str, command: Sequence[str], environment: Mapping[str, str], grows: Path | None = None
) -> None:
    """Run to its end; it ends when this is cancelled. ``grows``: a directory in which it writes all the time.

    Raises BackupError when it fails.
    """
    child = await asyncio.create_subprocess_exec(
        *_BEHIND_TENANTS,
        *command,
        env={"PATH": "/usr/bin:/bin", **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd="/",
    )
    try:
        if grows is not None:
            said = await _watched(child, grows)
        else:
            said = await _end(child)
    except BaseException:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        raise
    if child.returncode != 0:
        raise BackupError(f"{called} failed: {complaint(said) or f'exit status {child.returncode}'}")


def complaint(said: bytes) -> str:
    """Why a program failed: its last words, after what it had said before of damaged pages, which those do not name."""
    text = said.decode(errors="replace").strip()
    damaged = _DAMAGED.findall(text)
    if not damaged:
        return text[-_WORDS:]
    more = f" and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
    return f"{'; '.join(damaged[:_NAMED])}{more} ({text.splitlines()[-1][-_WORDS:]})"


async def _end(child: asyncio.subprocess.Process) -> bytes:
    """What it says until its end; of very much, as a tenant's server can have it say, the first and the last."""
    said = b""
    assert child.stderr is not None
    while more := await child.stderr.read(_KEPT):
        said += more
        if len(said) > 4 * _KEPT:
            said = said[:_KEPT] + said[-_KEPT:]
    await child.wait()
    return said


async def _watched(child: asyncio.subprocess.Process, grows: Path) -> bytes:
    """What it says until its end. Raises BackupError when it writes nothing any more: a tenant can stop its server."""
    end = asyncio.ensure_future(_end(child))
    size = -1
    while True:
        done, _ = await asyncio.wait([end], timeout=STALLED_SECONDS)
        if done:
            return end.result()
        before, size = size, await asyncio.to_thread(_size, grows)
        if size == before:
            end.cancel()
            raise BackupError(f"the server has sent nothing for {STALLED_SECONDS:.0f} s")


def _size(directory: Path) -> int:
    size = 0
    for path in directory.rglob("*"):
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


@dataclass(frozen=True, slots=True)
class _Facts:
    system_identifier: int
    wal_timeline: int
    start_lsn: str
    stop_lsn: str
    data_bytes: int


def _manifest_facts(path: Path) -> _Facts:
    """What Postgres' manifest says (its documentation, chapter "Backup Manifest Format"). Raises BackupError."""
    if path.stat().st_size > LARGEST_MANIFEST:
        raise BackupError(f"the manifest of a base backup is larger than {LARGEST_MANIFEST} bytes")
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        ranges = manifest["WAL-Ranges"]
        return _Facts(
            system_identifier=int(manifest["System-Identifier"]),
            wal_timeline=int(ranges[-1]["Timeline"]),
            start_lsn=str(ranges[0]["Start-LSN"]),
            stop_lsn=str(ranges[-1]["End-LSN"]),
            data_bytes=sum(int(file["Size"]) for file in manifest["Files"]),
        )
    except (ValueError, LookupError, TypeError) as error:
        raise BackupError(f"the manifest of a base backup cannot be read: {error!r}") from None
