"""The machine: system libraries, disk, clock."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from howdah.cli.checks.finding import Finding, fail, ok, warn
from howdah.domain.settings import Settings

FAIL_BELOW = 1 << 30
WARN_BELOW = 5 << 30
PACKAGES = {
    "libssl.so.3": "libssl3 (Debian 13, Ubuntu 24.04: libssl3t64)",
    "libcrypto.so.3": "libssl3 (Debian 13, Ubuntu 24.04: libssl3t64)",
    "libzstd.so.1": "libzstd1",
    "liblz4.so.1": "liblz4-1",
    "libxml2.so.2": "libxml2",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "libz.so.1": "zlib1g",
    "libreadline.so.8": "libreadline8 (Debian 13, Ubuntu 24.04: libreadline8t64)",
    "libossp-uuid.so.16": "libossp-uuid16",
    "libxslt.so.1": "libxslt1.1",
}
"""Debian's package of a library."""


def check_libraries(settings: Settings) -> Iterator[Finding]:
    """Asks the dynamic linker about Postgres' own programs and its extensions."""
    name = "system libraries"
    roots = [root for root in _binaries(settings).glob("1*") if (root / "bin" / "postgres").exists()]
    if not roots:
        yield warn(name, "Postgres' programs are not unpacked here yet", "howdah serve does it")
        return
    for root in sorted(roots):
        if missing := _missing(root, [*(root / "bin").iterdir()]):
            yield fail(
                f"{name} {root.name}",
                f"missing: {', '.join(missing)}",
                _install(missing, "the packages that bring them"),
            )
        elif missing := _missing(root, [*(root / "lib").rglob("*.so")]):
            yield warn(
                f"{name} {root.name}",
                f"some extensions lack {', '.join(missing)}",
                _install(missing, "what brings them, if those are wanted"),
            )
        else:
            yield ok(f"{name} {root.name}", "all there")


def _binaries(settings: Settings) -> Path:
    return settings.postgres.binaries or settings.state / "postgres"


def _missing(root: Path, files: list[Path]) -> list[str]:
    environment = {"LD_LIBRARY_PATH": str(root / "lib"), "PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    asked = subprocess.run(["ldd", *map(str, files)], env=environment, capture_output=True, text=True, check=False)
    lines = (line.split() for line in asked.stdout.splitlines() if line.endswith("not found"))
    return sorted({words[0] for words in lines})


def _install(missing: list[str], otherwise: str) -> str:
    known = sorted({PACKAGES[library] for library in missing if library in PACKAGES})
    return f"install {', '.join(known) or otherwise}"


def check_shared_memory() -> Iterator[Finding]:
    """Postgres keeps its dynamic shared memory there, as the OS user of the service."""
    name, place = "shared memory", Path("/dev/shm")
    if not place.is_dir() or place.stat().st_mode & 0o1777 != 0o1777:
        yield fail(name, f"{place} is not there or not open to all users", "mount -t tmpfs -o mode=1777 tmpfs /dev/shm")
    else:
        yield ok(name, f"{shutil.disk_usage(place).free >> 20} MiB free in {place}")


def check_disk(settings: Settings) -> Iterator[Finding]:
    name = "disk"
    place = next(path for path in (settings.state, *settings.state.parents) if path.exists())
    free = shutil.disk_usage(place).free
    said = f"{free / (1 << 30):.1f} GiB free for {settings.state}"
    advice = "free some: Postgres stops when it cannot write its WAL"
    if free < FAIL_BELOW:
        yield fail(name, said, advice)
    elif free < WARN_BELOW:
        yield warn(name, said, advice)
    else:
        yield ok(name, said)
    inodes = os.statvfs(place)
    if inodes.f_files and inodes.f_favail < 20_000:
        yield warn("inodes", f"{inodes.f_favail} free for {settings.state}", "a service takes about 1,000")


def check_clock(settings: Settings) -> Iterator[Finding]:
    name, now = "clock", time.time()
    newest = max((path.stat().st_mtime for path in _dated(settings.state)), default=0.0)
    if now < newest - 60:
        ahead = datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds")
        yield fail(name, f"it is behind what was written here before ({ahead})", "set the clock; certificates need it")
    elif not _is_synchronised():
        yield warn(name, f"{_now(now)}, not synchronised", "run a time service: apt-get install systemd-timesyncd")
    else:
        yield ok(name, f"{_now(now)}, synchronised")


def _dated(state: Path) -> Iterator[Path]:
    return (path for path in (state / "howdah.db", state / "routes.json") if os.access(path, os.R_OK))


def _now(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _is_synchronised() -> bool:
    """adjtimex(2) answers TIME_ERROR (5) when nothing keeps the clock right."""
    answer = ctypes.create_string_buffer(512)  # struct timex, all zero: only asks
    return ctypes.CDLL(None).adjtimex(answer) not in (-1, 5)
