"""Initialised data directories, one per version, from which every service's own is cloned."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import structlog

from howdah.domain.errors import SetupError
from howdah.engines.local.binaries import Binaries, Progress, exclusive
from howdah.engines.local.identity import UnknownLayoutError, give_identity, new_identifier, with_identity
from howdah.launcher.commands import run
from howdah.launcher.files import sync_directory, sync_filesystem
from howdah.launcher.rights import SYSTEM_USER, becoming, system_user

_FORMAT = 1
"""Raised when templates must be made anew, because initdb's options change."""

_INITDB = (
    "--username=postgres",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C.UTF-8",
    "--data-checksums",
    "--auth=reject",
    "--no-sync",
    "--no-instructions",
)
_LIBRARIES = "libssl3 libzstd1 liblz4-1 libxml2 libgssapi-krb5-2 zlib1g libreadline8 tzdata"
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Template:
    """``cloneable``: its control file has the known layout, so that a clone can get an identity of its own."""

    binaries: Binaries
    root: Path
    data: Path
    cloneable: bool


def ensure_template(binaries: Binaries, root: Path, progress: Progress) -> Template:
    """The template of a version, made when it is missing. Blocks; safe to call at the same time from anywhere.

    Raises SetupError when initdb fails.
    """
    data = root / f"{binaries.full}-{_FORMAT}"
    root.mkdir(parents=True, exist_ok=True)
    with exclusive(root / ".lock"):
        if not data.is_dir():
            progress(f"Initialising a template of Postgres {binaries.full}")
            _make(binaries, root, data)
        cloneable = _verify(binaries, root, data)
    if not cloneable:
        _log.error("unknown layout of pg_control: every create runs initdb, which is slow", version=binaries.full)
    return Template(binaries, root, data, cloneable)


def clone(template: Template, target: Path, *, background: bool) -> None:
    """A data directory with its own identity at ``target``, which must not exist, in a directory of ours.

    It is not durable before the file system has been synced. Raises OSError, SetupError.
    """
    if template.cloneable:
        low = ["nice", "-n", "19"] if background else []
        copy = ["cp", "-a", "--reflink=auto", "--sparse=auto", str(template.data), str(target)]
        done = run(copy, low, limit=600)
        if done.returncode != 0:
            raise OSError(f"the template could not be copied to {target}: {done.stderr.strip()[-300:]}")
        give_identity(target)
    else:
        _initdb(template.binaries, target)


def _make(binaries: Binaries, root: Path, data: Path) -> None:
    raw, temporary = root / f".{data.name}.raw", root / f".{data.name}.new"
    for leftover in (raw, temporary):
        shutil.rmtree(leftover, ignore_errors=True)
    _initdb(binaries, raw)
    # Most of the first WAL segment is zeros: as holes they cost a clone nothing.
    subprocess.run(["cp", "-a", "--sparse=always", str(raw), str(temporary)], check=True)
    shutil.rmtree(raw)
    sync_filesystem(temporary)
    temporary.rename(data)
    sync_directory(root)


def _initdb(binaries: Binaries, target: Path) -> None:
    """Postgres refuses to be root: then the system user does it. Raises SetupError."""
    user = system_user() if os.geteuid() == 0 else None
    if user is None and os.geteuid() == 0:
        raise SetupError(f"as root initdb needs the system user '{SYSTEM_USER}': useradd --system {SYSTEM_USER}")
    work = target.with_name(f".{target.name}.initdb")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    if user is not None:
        os.chown(work, user.pw_uid, -1)
    command = [binaries.program("initdb"), f"--pgdata={work / 'data'}", *_INITDB]
    prefix = [] if user is None else becoming(user.pw_uid, user.pw_gid)
    done = run(command, prefix, environment=binaries.environment, limit=300)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-500:]
        advice = f"; install what is missing: apt-get install {_LIBRARIES}" if "shared libraries" in said else ""
        raise SetupError(f"initdb of Postgres {binaries.full} failed: {said}{advice}")
    if user is not None:
        subprocess.run(["chown", "-hR", "0:0", str(work / "data")], check=True)
    (work / "data").rename(target)
    work.rmdir()


def _verify(binaries: Binaries, root: Path, data: Path) -> bool:
    """Whether pg_controldata itself finds a fresh identity, with a right CRC, in a changed copy of the control file."""
    identifier, nonce = new_identifier(), secrets.token_bytes(32)
    copy = root / f".{data.name}.probe"
    shutil.rmtree(copy, ignore_errors=True)
    (copy / "global").mkdir(parents=True)
    try:
        changed = with_identity((data / "global" / "pg_control").read_bytes(), identifier, nonce)
        (copy / "global" / "pg_control").write_bytes(changed)
        shown = subprocess.run(
            [binaries.program("pg_controldata"), str(copy)],
            capture_output=True,
            text=True,
            env=binaries.environment,
            timeout=60,
            check=False,
        )
        found = dict(re.findall(r"^([^:\n]+):\s+(\S.*)$", shown.stdout, re.MULTILINE))
        return (
            "CRC" not in shown.stdout + shown.stderr
            and found.get("Database system identifier") == str(identifier)
            and found.get("Mock authentication nonce") == nonce.hex()
        )
    except UnknownLayoutError:
        return False
    finally:
        shutil.rmtree(copy, ignore_errors=True)
