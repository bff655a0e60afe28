"""Organizations and the API keys that act for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from uuid import NAMESPACE_OID, UUID, uuid5

from howdah.domain.quotas import Quota
from howdah.domain.sources import Source


class Role(StrEnum):
    """What a key may do, the strongest first. ``admin``: everything; ``developer``: everything but keys and
    organizations; ``query_endpoints``: reads only, and never sees a credential."""

    ADMIN = "admin"
    DEVELOPER = "developer"
    QUERY_ENDPOINTS = "query_endpoints"

    @property
    def id(self) -> UUID:
        """The same in every Howdah."""
        return uuid5(NAMESPACE_OID, f"howdah role {self}")

    @property
    def label(self) -> str:
        """For people."""
        return self.replace("_", " ").capitalize()


class ApiVersion(StrEnum):
    """The two forms of the API, see docs/api.md."""

    PREVIEW = "preview"
    BETA = "beta"


class KeyState(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Organization:
    """retention_days: how long its services can be restored to any moment; None: as the settings say."""

    id: UUID
    name: str
    created_at: datetime
    retention_days: int | None = None
    quota: Quota = field(default_factory=Quota)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. ``key_id`` is the user name of HTTP Basic, or ``sha256:`` and its hash where its owner
    gave no more; ``suffix`` the last characters by which its owner recognises it. ``sources``: from where it may be
    used; None: from everywhere."""

    id: UUID
    organization: UUID
    key_id: str
    name: str
    roles: tuple[Role, ...]
    state: KeyState
    suffix: str
    created_at: datetime
    expire_at: datetime | None
    used_at: datetime | None
    api_version: ApiVersion | None
    sources: tuple[Source, ...] | None = None

    @property
    def role(self) -> Role:
        """The strongest one, which may do all that the others may."""
        return _strongest(self.roles)


@lru_cache(maxsize=64)
def _strongest(roles: tuple[Role, ...]) -> Role:
    return min(roles, key=list(Role).index)


def difference(before: Organization, after: Organization) -> str:
    """What was changed, in words."""
    return ", ".join(
        f"{what}: {old} → {new}"
        for what, old, new in (
            ("name", f"'{before.name}'", f"'{after.name}'"),
            ("services", _limit(before.quota.services), _limit(after.quota.services)),
            ("retention days", before.retention_days or "default", after.retention_days or "default"),
            ("storage GiB", _limit(before.quota.storage_gib), _limit(after.quota.storage_gib)),
        )
        if old != new
    )


def _limit(limit: int | None) -> str:
    return "default" if limit is None else "no limit" if limit == 0 else str(limit)
