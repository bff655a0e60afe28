"""Objects by key, in a directory or in an S3-compatible store; all calls block. Raises StoreError when out of reach."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from howdah.backup.errors import StoreError
from howdah.domain.errors import SetupError
from howdah.domain.settings import BackupSettings

S3 = "s3://"
_BLOCK = 4 * 1024 * 1024
_REASON = re.compile(r'message: "([^"]+)"|InvalidCertificate\(\s*(\w+)')
_RETRIES: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """``modified``: when it was put, or for a directory the time that its source had."""

    key: str
    size: int
    modified: datetime


class Objects:
    """``directory``: where the objects are files below it; None for a store elsewhere. mark: a file by which that
    directory is known: without it there is another one in its place, below which its disk was mounted perhaps."""

    def __init__(self, store: LocalStore | S3Store, directory: Path | None, name: str) -> None:
        self._store = store
        self.directory = directory
        self.name = name
        self.mark: Path | None = None
        self._durable: set[Path] = set()

    def put(self, key: str, content: bytes | Path, *, modified: float | None = None) -> None:
        """Durable on return. A file is moved where it can be, else copied.

        ``modified``: seconds since the epoch; kept by a directory only.
        """
        with self._reaching(f"write {key}"):
            if not (isinstance(content, Path) and self.directory and _move(content, self.directory / key)):
                obstore.put(self._store, key, content)
            if self.directory is not None:
                self._make_durable(self.directory / key, modified)

    def get(self, key: str) -> bytes | None:
        """None when there is no such object."""
        with contextlib.suppress(FileNotFoundError), self._reaching(f"read {key}", may_lack=True):
            return bytes(obstore.get(self._store, key).bytes())
        return None

    def fetch(self, key: str, into: Path) -> str | None:
        """Into a new file, which is only to be read; returns the SHA-256 (hex) of what came, None when there is no such
        object."""
        digest = hashlib.sha256()
        into.unlink(missing_ok=True)  # What is there may be such a link: written to, it would change the archive.
        with contextlib.suppress(FileNotFoundError), self._reaching(f"read {key}", may_lack=True):
            if self.directory is not None and _link(self.directory / key, into):
                with into.open("rb") as file:
                    return hashlib.file_digest(file, "sha256").hexdigest()
            stream = obstore.get(self._store, key).stream(min_chunk_size=_BLOCK)
            with into.open("wb") as file:
                for block in stream:
                    digest.update(block)
                    file.write(block)
            return digest.hexdigest()
        return None

    def list(self, prefix: str) -> list[ObjectFacts]:
        with self._reaching(f"list {prefix}"):
            pages = cast("Any", self._store).list(prefix)
            found = [one for page in pages for one in page]
        return [ObjectFacts(one["path"], one["size"], one["last_modified"]) for one in found]

    def prefixes(self, prefix: str) -> list[str]:
        """What comes next below ``prefix``."""
        with self._reaching(f"list {prefix}"):
            found = cast("Any", self._store).list_with_delimiter(prefix or None)
        return [path.rstrip("/").rsplit("/", 1)[-1] for path in cast("list[str]", found["common_prefixes"])]

    def delete(self, keys: list[str]) -> None:
        """Those that are gone are fine."""
        if not keys:
            return
        with self._reaching(f"delete {keys[0]}"):
            for key in keys if self.directory is not None else ():
                with contextlib.suppress(FileNotFoundError):
                    obstore.delete(self._store, key)
            if self.directory is None:
                obstore.delete(self._store, keys)

    def remove_below(self, prefix: str) -> None:
        """Every object below ``prefix``, and in a directory the directories too."""
        if self.directory is None:
            self.delete([one.key for one in self.list(prefix)])
            return
        with contextlib.suppress(FileNotFoundError), self._reaching(f"delete {prefix}", may_lack=True):
            shutil.rmtree(self.directory / prefix)
        self._durable.clear()

    def remove_halves(self, prefix: str) -> None:
        """What the library had not written to its end when it was killed; a store elsewhere keeps none of that."""
        if self.directory is not None:
            with self._reaching(f"tidy {prefix}"):
                for path in (self.directory / prefix).rglob("*#*"):
                    path.unlink()

    def _reason(self, error: BaseException) -> str:
        """Without the place of the archive, which its operator knows, and who reads this need not."""
        return _short(error).replace(f"{self.directory or self.name}/", "")

    def _make_durable(self, file: Path, modified: float | None) -> None:
        if modified is not None:
            os.utime(file, (modified, modified))
        _sync(file)
        _sync(file.parent)
        # That a directory is there is made durable once.
        for below, above in pairwise(file.parents):
            if below == self.directory or below in self._durable:
                break
            _sync(above)
            self._durable.add(below)

    @contextmanager
    def _reaching(self, what: str, *, may_lack: bool = False) -> Generator[None]:
        """``may_lack``: FileNotFoundError is for the caller, who is told that there is no such object."""
        try:
            if self.mark is not None and not self.mark.exists():
                raise StoreError(
                    f"the archive cannot {what}: its directory is not the one that it was, which had {self.mark.name};"
                    " is its disk mounted?"
                )
            yield
        except (BaseError, OSError) as error:
            # Without its bucket a store says of every object that it is not there.
            if may_lack and isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
                raise
            raise StoreError(f"the archive cannot {what}: {self._reason(error)}") from error


def open_objects(settings: BackupSettings, default: Path) -> Objects:
    """Those that the settings name. Raises SetupError."""
    where = settings.archive or str(default)
    if where.startswith(S3):
        return _open_s3(where, settings)
    directory = Path(where)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Objects(LocalStore(directory), directory.resolve(), where)
    except (BaseError, OSError) as error:
        raise SetupError(f"backup.archive: the directory {where} cannot be used: {_short(error)}") from None


def _open_s3(where: str, settings: BackupSettings) -> Objects:
    bucket, _, prefix = where.removeprefix(S3).partition("/")
    if not bucket:
        raise SetupError(f"backup.archive is {where!r}; it must be s3://bucket/prefix")
    if settings.s3_ca_file is not None:
        # The only way that the library's TLS can be told of a CA.
        os.environ["SSL_CERT_FILE"] = str(settings.s3_ca_file)
    config: dict[str, Any] = {
        "region": settings.s3_region,
        "virtual_hosted_style_request": not settings.s3_path_style,
    }
    if settings.s3_endpoint:
        config["endpoint"] = settings.s3_endpoint
    if settings.s3_access_key:
        config |= {"access_key_id": settings.s3_access_key, "secret_access_key": settings.s3_secret_key}
    if settings.s3_encryption:
        kind, _, key = settings.s3_encryption.partition(":kms:")
        config["server_side_encryption"] = "aws:kms" if key else kind
        if key:
            config["sse_kms_key_id"] = key
    options: Any = {
        "allow_http": settings.s3_endpoint.startswith("http://"),
        "timeout": timedelta(seconds=60),
        "connect_timeout": timedelta(seconds=5),
    }
    try:
        store = S3Store(
            bucket,
            prefix=prefix.strip("/") or None,
            config=cast("Any", config),
            client_options=options,
            retry_config=_RETRIES,
        )
    except BaseError as error:
        raise SetupError(f"backup.archive: {where} cannot be used: {_short(error)}") from None
    return Objects(store, None, where)


def _move(path: Path, place: Path) -> bool:
    """Whether both are on one file system, so that it was possible."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(path, place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _link(path: Path, place: Path) -> bool:
    """Whether it was possible: not from one file system to another, and not on each."""
    try:
        os.link(path, place)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _short(error: BaseException) -> str:
    """The sentence of an error of the library, and the reason that it hides in pages of details."""
    head, _, details = str(error).partition("Debug source:")
    sentence = " ".join(head.split())[:300]
    found = _REASON.search(details)
    reason = "" if found is None else found[1] or f"certificate refused: {found[2]}"
    return sentence if reason in sentence else f"{sentence} ({reason})"
