"""Quotas and memory, inside the transaction that needs room: what comes at the same time cannot pass them together."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from howdah.domain.catalog import Size
from howdah.domain.memory import check_memory
from howdah.domain.quotas import Quota, check_room
from howdah.domain.settings import QuotaSettings
from howdah.engines.protocol import Engine
from howdah.store import organizations
from howdah.store.memory import memory_within


def check_quota(
    connection: Connection, organization: UUID, defaults: QuotaSettings, *, services: int, storage_gib: int
) -> None:
    """Raises Conflict when the organization may not have that many more services, or that much more storage."""
    if (found := organizations.within(connection, organization)) is None:
        return
    quota = found.quota.over(Quota(defaults.services, defaults.storage_gib))
    usage = organizations.usage(connection, organization)
    check_room(organization, quota, usage, services=services, storage_gib=storage_gib)


def check_servers(connection: Connection, engine: Engine, size: Size, *, servers: int, now_gib: int = 0) -> None:
    """Raises Conflict when the engine has no memory for so many servers of ``size``, in place of those that have
    ``now_gib``."""
    if (total := engine.memory_gib()) is not None:
        check_memory(memory_within(connection, total), size, servers=servers, now_gib=now_gib)
