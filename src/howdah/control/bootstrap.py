"""The first organization and its admin key, made at the first start and left in ``bootstrap.env`` for their owner."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from howdah.control.access import Access
from howdah.control.environment import NAMES, read_environment, write_environment
from howdah.domain.organizations import Organization
from howdah.security.keys import NewKey

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


async def bootstrap(access: Access, file: Path, *, api_url: str) -> None:
    """Makes both when there is no organization. Raises SetupError when the file cannot be written."""

    def hand_over(organization: Organization, key: NewKey) -> None:
        write_environment(file, dict(zip(NAMES, (api_url, str(organization.id), key.key_id, key.secret), strict=True)))

    if not access.organizations():
        await access.create_first(hand_over)
        return
    if not await asyncio.to_thread(file.exists):
        log.warning(
            "the first key cannot be shown again, its file is gone; make another: howdah keys create", file=str(file)
        )


def announce(file: Path, *, api_url: str) -> None:
    """Writes down where the API listens now, when that is not what the file says. A lost file stays lost."""
    if not file.exists():
        return
    environment = read_environment(file)
    if environment["API_URL"] != api_url:
        write_environment(file, environment | {"API_URL": api_url})
