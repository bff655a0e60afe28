"""The first organization and its admin key, made at the first start and left in ``bootstrap.env`` for their owner."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import structlog

from howdah.control.access import Access
from howdah.domain.errors import SetupError
from howdah.domain.organizations import Organization
from howdah.security.keys import NewKey

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

_NAMES = ("API_URL", "ORG_ID", "KEY_ID", "KEY_SECRET")


async def bootstrap(access: Access, file: Path, *, api_url: str) -> None:
    """Makes both when there is no organization. Raises SetupError when the file cannot be written."""

    def hand_over(organization: Organization, key: NewKey) -> None:
        _write(file, dict(zip(_NAMES, (api_url, str(organization.id), key.key_id, key.secret), strict=True)))

    if not access.organizations():
        await access.create_first(hand_over)
        return
    if not await asyncio.to_thread(file.exists):
        log.warning(
            "the first key cannot be shown again, its file is gone; make another: howdah keys create", file=str(file)
        )


def read_environment(file: Path) -> dict[str, str]:
    """API_URL, ORG_ID, KEY_ID and KEY_SECRET. Raises SetupError when the file is not there or lacks one."""
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}; it is made by the first 'howdah serve'") from None
    found = {name: value for name, _, value in (line.partition("=") for line in lines)}
    if missing := [name for name in _NAMES if not found.get(name)]:
        raise SetupError(f"{file} lacks {', '.join(missing)}")
    return {name: found[name] for name in _NAMES}


def announce(file: Path, *, api_url: str) -> None:
    """Writes down where the API listens now, when that is not what the file says. A lost file stays lost."""
    if not file.exists():
        return
    environment = read_environment(file)
    if environment["API_URL"] != api_url:
        _write(file, environment | {"API_URL": api_url})


def _write(file: Path, environment: dict[str, str]) -> None:
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
