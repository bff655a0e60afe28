"""Quotas, inside the transaction that needs room: what is created at the same time cannot pass them together."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from howdah.domain.quotas import Quota, check_room
from howdah.domain.settings import QuotaSettings
from howdah.store import organizations


def check_quota(
    connection: Connection, organization: UUID, defaults: QuotaSettings, *, services: int, storage_gib: int
) -> None:
    """Raises Conflict when the organization may not have that many more services, or that much more storage."""
    if (found := organizations.within(connection, organization)) is None:
        return
    quota = found.quota.over(Quota(defaults.services, defaults.storage_gib))
    usage = organizations.usage(connection, organization)
    check_room(organization, quota, usage, services=services, storage_gib=storage_gib)
