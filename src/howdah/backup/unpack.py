"""Unpacks base backups, as the user whose they become: ``python -I -m howdah.backup.unpack SOURCE TARGET``.

A backup's content was sent by a tenant's server and is not trusted: only plain files and directories below the target
come out of it, whatever names, links and devices are in it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import zstandard

from howdah.backup.confined import confined
from howdah.backup.errors import DamageError

BASE = "base.tar.zst"
_SUFFIX = ".tar.zst"
_BLOCK = 256 * 1024
_END = bytes(tarfile.BLOCKSIZE)
_LINKS = "tablespace_map"
"""Where tablespaces were; they come back as directories in ``pg_tblspc``, so that no server writes into another's."""


def command(source: Path, target: Path) -> list[str]:
    """What unpacks ``source`` into ``target`` in a process of its own, which can touch nothing else."""
    python = [sys.executable, "-I", "-m", __spec__.name, str(source), str(target)]
    package = Path(__file__).resolve().parent.parent.parent
    places = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent.parent, package]
    return confined(python, read=[*places, source], write=[target.parent])


def unpack(source: Path, target: Path) -> None:
    """A directory of ``base.tar.zst`` and ``<oid>.tar.zst`` into a data directory; one that is there is begun anew.

    Raises DamageError for content that no base backup has, OSError.
    """
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(mode=0o700)
    for archive in (source / BASE, *_tablespaces(source)):
        below = target if archive.name == BASE else target / "pg_tblspc" / archive.name.removesuffix(_SUFFIX)
        below.mkdir(mode=0o700, parents=True, exist_ok=True)
        _extract(archive, below)
    (target / _LINKS).unlink(missing_ok=True)


def _tablespaces(source: Path) -> Iterator[Path]:
    for path in sorted(source.glob("*" + _SUFFIX)):
        if path.name != BASE:
            if not path.name.removesuffix(_SUFFIX).isdigit():
                raise DamageError(f"{path.name} is no file of a base backup")
            yield path


def _extract(archive: Path, target: Path) -> None:
    try:
        with archive.open("rb") as file:
            stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            # Not by tarfile's own reader, which copies everything several times: that takes twice as long.
            while (header := _exactly(stream, tarfile.BLOCKSIZE)) != _END:
                member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
                _place(stream, member, target)
    except (tarfile.TarError, zstandard.ZstdError) as error:
        raise DamageError(f"{archive.name} is damaged: {error}") from None


def _place(stream: IO[bytes], member: tarfile.TarInfo, target: Path) -> None:
    path = target / _inside(member.name)
    if member.isdir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif member.isreg():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as made:
            made.writelines(_exactly(stream, min(_BLOCK, member.size - at)) for at in range(0, member.size, _BLOCK))
            made.flush()
            # The kernel begins to write it now, so that there is less to wait for when all must be durable.
            os.posix_fadvise(made.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        _exactly(stream, -member.size % tarfile.BLOCKSIZE)
    elif not (member.issym() and path.parent.name == "pg_tblspc"):
        raise DamageError(f"{member.name!r} is neither a file nor a directory")


def _exactly(stream: IO[bytes], size: int) -> bytes:
    read = stream.read(size)
    while len(read) < size:
        if not (more := stream.read(size - len(read))):
            raise DamageError(f"it ends where {size} bytes follow")
        read += more
    return read


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise DamageError(f"{name!r} does not lie in a data directory")
    return path


def main() -> int:
    try:
        unpack(Path(sys.argv[1]), Path(sys.argv[2]))
    except (DamageError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
