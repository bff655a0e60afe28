"""Organizations and the API keys that act for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What a key may do. ``admin``: everything; ``developer``: everything but keys and organizations;
    ``query_endpoints``: reads only, and never sees a credential."""

    ADMIN = "admin"
    DEVELOPER = "developer"
    QUERY_ENDPOINTS = "query_endpoints"


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


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. ``key_id`` is the user name of HTTP Basic; ``suffix`` its secret's last characters."""

    id: UUID
    organization: UUID
    key_id: str
    name: str
    role: Role
    state: KeyState
    suffix: str
    created_at: datetime
    expire_at: datetime | None
    used_at: datetime | None
    api_version: ApiVersion | None
