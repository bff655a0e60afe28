"""``bootstrap.env``: how the owner of a state directory reaches its API. Light to import, commands read it."""

from __future__ import annotations

import os
from pathlib import Path

from howdah.domain.errors import SetupError

NAMES = ("API_URL", "ORG_ID", "KEY_ID", "KEY_SECRET")


def read_environment(file: Path) -> dict[str, str]:
    """API_URL, ORG_ID, KEY_ID and KEY_SECRET. Raises SetupError when the file is not there or lacks one."""
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}; it is made by the first 'howdah serve'") from None
    found = {name: value for name, _, value in (line.partition("=") for line in lines)}
    if missing := [name for name in NAMES if not found.get(name)]:
        raise SetupError(f"{file} lacks {', '.join(missing)}")
    return {name: found[name] for name in NAMES}


def write_environment(file: Path, environment: dict[str, str]) -> None:
    """Replaces it, readable by us alone. Raises SetupError when it cannot be written."""
    aside = file.with_suffix(".new")
    try:
        aside.unlink(missing_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.writelines(f"{name}={value}\n" for name, value in environment.items())
            opened.flush()
            os.fsync(descriptor)
        aside.replace(file)
    except OSError as error:
        raise SetupError(f"{file} cannot be written: {error.strerror}") from None
