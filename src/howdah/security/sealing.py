"""Secrets at rest: AES-256-GCM under a key from a file, bound to the place where the ciphertext belongs.

The key file has one key per line, 32 random bytes in URL-safe base64; ``#`` begins a comment. The first key seals, all
of them open, so that a key is rotated by putting a new one on top (``KeyFile.add``), sealing everything again, and
taking the others away (``KeyFile.keep_first``). A sealed secret is ``version (1 byte) | key id (4) |
nonce (12) | ciphertext and tag``; the key id is the beginning of the key's SHA-256.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from howdah.domain.errors import SetupError

ENVIRONMENT_VARIABLE = "HOWDAH_SECRETS_KEY_FILE"
KEY_ID = slice(1, 5)
"""Where a sealed secret says which key opens it."""

_KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = b"\x01"
_HEADER = len(_VERSION) + 4


class Sealer:
    """Seals and opens secrets. Instances are made by ``open_key_file``."""

    def __init__(self, keys: list[bytes]) -> None:
        self._ciphers = {hashlib.sha256(key).digest()[:4]: AESGCM(key) for key in keys}
        self.sealing = next(iter(self._ciphers))
        """The id of the key that seals."""

    def __repr__(self) -> str:
        return f"Sealer({len(self._ciphers)} keys)"

    @property
    def key_ids(self) -> frozenset[bytes]:
        """Ids of the keys that it opens with."""
        return frozenset(self._ciphers)

    def seal(self, secret: str, place: str) -> bytes:
        """The secret, encrypted; it opens only with the same ``place`` (such as table, column and row)."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        header = _VERSION + self.sealing
        return header + nonce + self._ciphers[self.sealing].encrypt(nonce, secret.encode(), header + place.encode())

    def open(self, sealed: bytes, place: str) -> str:
        """The secret in ``sealed``. Raises SetupError when it was altered, moved, or sealed with another key."""
        header, nonce, ciphertext = sealed[:_HEADER], sealed[_HEADER:][:_NONCE_BYTES], sealed[_HEADER + _NONCE_BYTES :]
        cipher = self._ciphers.get(sealed[KEY_ID])
        if header[:1] != _VERSION or cipher is None:
            raise SetupError(f"the secret of {place} was sealed with a key that the key file does not have")
        try:
            return cipher.decrypt(nonce, ciphertext, header + place.encode()).decode()
        except (InvalidTag, ValueError):
            raise SetupError(f"the secret of {place} cannot be opened: it was altered or belongs elsewhere") from None


class KeyFile:
    """The file, which other processes may replace at any time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: list[bytes] = []
        self._seen: tuple[int, ...] = ()

    def changed(self) -> bool:
        """Whether it is another file than the one that was read last. Raises SetupError when it is gone."""
        return self._identity() != self._seen

    def read(self) -> Sealer:
        """Seals with the first key, opens with all of them and with those of earlier reads: what somebody got from the
        store a moment ago may still need them. Raises SetupError when the file is missing, readable by others, or holds
        no proper key."""
        seen = self._identity()  # before the content: a change in between is read again
        keys = _parse(self.path, _readable(self.path))
        self._known = [*keys, *(key for key in self._known if key not in keys)]
        self._seen = seen
        return Sealer(self._known)

    def add(self) -> Sealer:
        """A new key on top of those that are there, on the disk when this returns. Raises SetupError."""
        content = _readable(self.path)
        _parse(self.path, content)
        _replace(self.path, _new_line() + content)
        return self.read()

    def keep_first(self) -> None:
        """Takes all keys but the first away. Raises SetupError."""
        first = _parse(self.path, _readable(self.path))[0]
        _replace(self.path, _line(first))

    def _identity(self) -> tuple[int, ...]:
        try:
            facts = os.stat(self.path)
        except OSError as error:
            raise SetupError(f"{self.path} cannot be read: {error.strerror}") from None
        return facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size


def open_key_file(path: Path, *, sealed_with: Collection[bytes]) -> Sealer:
    """The sealer with the keys in ``path``; a new key is written there when nothing has been sealed yet.

    ``sealed_with``: the ids of the keys of everything that is sealed already. Raises SetupError when the file is
    readable by others, holds no proper key, or lacks one that is needed.
    """
    if not _is_there(path):
        if sealed_with:
            raise SetupError(
                f"{path} is missing, and the store holds secrets that were sealed with it: put it back, or set"
                f" {ENVIRONMENT_VARIABLE} to where it is"
            )
        _create(path)
    sealer = KeyFile(path).read()
    if missing := set(sealed_with) - sealer.key_ids:
        raise SetupError(
            f"{path} lacks the key {min(missing).hex()}, with which secrets in the store were sealed: add its line back"
        )
    return sealer


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return True  # reading it says what is wrong


def _readable(path: Path) -> str:
    try:
        return _read_private(path)
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from None


def _read_private(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor) as file:
        mode = os.fstat(descriptor).st_mode & 0o777
        if mode & 0o077:
            raise SetupError(f"{path} has mode {mode:04o}, others can read or change it: chmod 600 {path}")
        try:
            return file.read()
        except UnicodeDecodeError:
            raise SetupError(f"{path} is not text: it must hold one base64 key per line") from None


def _parse(path: Path, content: str) -> list[bytes]:
    keys: list[bytes] = []
    for number, line in enumerate(content.splitlines(), 1):
        if not (text := line.partition("#")[0].strip()):
            continue
        try:
            key = urlsafe_b64decode(text)
        except (binascii.Error, ValueError):
            raise SetupError(f"line {number} of {path} is not base64") from None
        if len(key) != _KEY_BYTES:
            raise SetupError(f"line {number} of {path} has a key of {len(key)} bytes; it must have {_KEY_BYTES}")
        keys.append(key)
    if not keys:
        raise SetupError(f"{path} holds no key; it must have one of {_KEY_BYTES} bytes in base64 per line")
    return keys


def _line(key: bytes) -> str:
    return urlsafe_b64encode(key).decode() + "\n"


def _new_line() -> str:
    return _line(secrets.token_bytes(_KEY_BYTES))


def _create(path: Path) -> None:
    """Linked into place: no other process ever sees half a key, none is ever overwritten."""
    try:
        aside = _write_aside(path, _new_line())
        try:
            os.link(aside, path)
        except FileExistsError:
            return
        finally:
            aside.unlink()
        _sync(path.parent)
    except OSError as error:
        raise SetupError(f"{path} cannot be created: {error.strerror}") from None


def _replace(path: Path, content: str) -> None:
    try:
        _write_aside(path, content).replace(path)
        _sync(path.parent)
    except OSError as error:
        raise SetupError(f"{path} cannot be replaced: {error.strerror}") from None


def _write_aside(path: Path, content: str) -> Path:
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    return aside


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
