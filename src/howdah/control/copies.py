"""A backup of Howdah itself in one file: the store, the keys of the secrets in it, the first API key, and the CA of a
certificate that the API made for itself.

The file is a tar archive. What services hold is not in it, nor the configuration.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from howdah.control.lock import hold
from howdah.control.paths import (
    api_authority_key_file,
    api_certificate_file,
    api_tls_directory,
    bootstrap_file,
    lock_file,
    store_file,
)
from howdah.control.vault import open_vault
from howdah.domain.errors import SetupError
from howdah.launcher.files import sync_directory
from howdah.store import copies
from howdah.store.store import Store

STORE, KEYS, FIRST_KEY, AUTHORITY = "howdah.db", "secrets.key", "bootstrap.env", "api-ca.json"
_PARTS = frozenset({STORE, KEYS, FIRST_KEY, AUTHORITY})
LARGEST = 1 << 32


def read_parts(state: Path, key_file: Path) -> dict[str, bytes]:
    """Store and keys of one moment, whether or not a server runs. Raises SetupError, Unavailable."""
    try:
        with copies.held(store_file(state)) as store:
            parts = {STORE: copies.content(store), KEYS: key_file.read_bytes()}
        for name, file in ((FIRST_KEY, bootstrap_file(state)), (AUTHORITY, api_authority_key_file(state))):
            with contextlib.suppress(FileNotFoundError):
                parts[name] = file.read_bytes()
    except OSError as error:
        raise SetupError(f"{error.filename} cannot be read: {error.strerror}") from None
    return parts


def pack(parts: Mapping[str, bytes], file: BinaryIO) -> None:
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in parts.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content), 0o600, int(time.time())
            archive.addfile(member, io.BytesIO(content))


def unpack(file: BinaryIO) -> dict[str, bytes]:
    """Raises SetupError when it is not a whole backup."""
    parts: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                opened = archive.extractfile(member) if member.isreg() and member.size <= LARGEST else None
                if member.name not in _PARTS or opened is None:
                    raise SetupError(f"it is no backup of Howdah: it has {member.name!r}")
                parts[member.name] = opened.read()
    except (tarfile.TarError, EOFError) as error:
        raise SetupError(f"it is no backup of Howdah, or not a whole one: {error}") from None
    if missing := {STORE, KEYS} - parts.keys():
        raise SetupError(f"it is no backup of Howdah: it lacks {', '.join(sorted(missing))}")
    return parts


def put_back(state: Path, key_file: Path, parts: Mapping[str, bytes]) -> list[Path]:
    """Replaces store, keys, first API key and the API's CA; what was there before is kept beside them, under the names
    returned. All services of the store are unconfirmed then.

    Killed in the middle it is done again. Raises SetupError when a server runs there, or the parts do not fit together:
    then nothing was changed.
    """
    targets = {
        STORE: store_file(state),
        KEYS: key_file,
        FIRST_KEY: bootstrap_file(state),
        AUTHORITY: api_authority_key_file(state),
    }
    with hold(lock_file(state)):
        asides = {name: _beside(targets[name], ".restored") for name in parts}
        try:
            if AUTHORITY in parts:
                api_tls_directory(state).mkdir(mode=0o700, exist_ok=True)
            for name, content in parts.items():
                _write(asides[name], content)
            with Store(asides[STORE]) as store:
                open_vault(store, asides[KEYS])
            copies.doubt(asides[STORE])
            kept = _keep(targets[name] for name in parts)
            if AUTHORITY in parts:
                api_certificate_file(state).unlink(missing_ok=True)  # Another CA's perhaps: the API makes one.
            for name in sorted(
                parts, key=lambda name: name == STORE
            ):  # the store last: until then the old one is there
                asides[name].replace(targets[name])
                sync_directory(targets[name].parent)
        except OSError as error:
            raise SetupError(f"{error.filename or state} cannot be written: {error.strerror}") from None
        finally:
            for aside in asides.values():
                for suffix in copies.SUFFIXES:
                    _beside(aside, suffix).unlink(missing_ok=True)
    return kept


def _keep(targets: Iterable[Path]) -> list[Path]:
    """The store's log of changes goes aside, too: it would be taken for the new store's."""
    when = time.strftime(".replaced-%Y%m%dT%H%M%SZ", time.gmtime())
    kept: list[Path] = []
    for target in targets:
        if not target.exists():
            continue
        aside = _beside(target, when)
        aside.unlink(missing_ok=True)
        os.link(target, aside)
        kept.append(aside)
        if (log := _beside(target, "-wal")).exists():
            log.replace(_beside(aside, "-wal"))
        _beside(target, "-shm").unlink(missing_ok=True)
    return kept


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
