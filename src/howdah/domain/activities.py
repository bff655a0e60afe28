"""Activities: who did what from where, and what came of it. They outlive what they speak of, and hold no secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from howdah.domain.ids import ServiceId
from howdah.domain.services import Service
from howdah.domain.tags import Tag

MAX_TEXT = 500
"""Characters of each text that somebody else chose."""


class ActivityType(StrEnum):
    """Upstream's names first; those after the gap are for what upstream has no name for."""

    CREATE_ORGANIZATION = "create_organization"
    ORGANIZATION_UPDATE_NAME = "organization_update_name"
    KEY_CREATE = "key_create"
    KEY_DELETE = "key_delete"
    OPENAPI_KEY_UPDATE = "openapi_key_update"
    SERVICE_CREATE = "service_create"
    SERVICE_DELETE = "service_delete"
    SERVICE_UPDATE_NAME = "service_update_name"
    SERVICE_UPDATE_PASSWORD = "service_update_password"
    SERVICE_RESTORE_BACKUP = "service_restore_backup"

    ORGANIZATION_UPDATE_QUOTA = "organization_update_quota"
    ORGANIZATION_UPDATE_RETENTION = "organization_update_retention"
    SERVICE_UPDATE = "service_update"
    SERVICE_UPDATE_SIZE = "service_update_size"
    SERVICE_UPDATE_HA_TYPE = "service_update_ha_type"
    SERVICE_FAILOVER = "service_failover"
    SERVICE_SWITCHOVER = "service_switchover"
    SERVICE_SWITCHOVER_END = "service_switchover_end"
    SERVICE_ADOPTION = "service_adoption"
    SERVICE_ACCEPT_DATA_LOSS = "service_accept_data_loss"
    SERVICE_PROMOTE = "service_promote"
    SERVICE_UPDATE_TAGS = "service_update_tags"
    SERVICE_UPDATE_CONFIGURATION = "service_update_configuration"
    SERVICE_UPDATE_STATE = "service_update_state"
    SERVICE_RESTART = "service_restart"
    SERVICE_CREATE_READ_REPLICA = "service_create_read_replica"
    BACKUP_CREATE = "backup_create"
    DRILL_CREATE = "drill_create"
    DRILL_END = "drill_end"
    BACKUPS_PURGE = "backups_purge"


class KeyUpdate(StrEnum):
    """What of a key was changed."""

    NAME = "name-changed"
    ROLE = "role-changed"
    STATE = "state-changed"
    EXPIRY = "date-changed"
    SOURCES = "ip-access-list-changed"


class ActorType(StrEnum):
    """``user``: somebody at the command line; ``api``: an API key; ``system``: Howdah itself."""

    USER = "user"
    API = "api"
    SYSTEM = "system"


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Actor:
    """id: of the API key, or the name of the system user. details: the key's name, or the command."""

    type: ActorType
    id: str
    details: str
    address: str | None = None
    user_agent: str | None = None


SYSTEM = Actor(ActorType.SYSTEM, "howdah", "Howdah itself")


@dataclass(frozen=True, slots=True)
class Deed:
    """What is done. changes: in words; for one that was refused, why."""

    type: ActivityType
    changes: str
    service: ServiceId | None = None
    key: UUID | None = None
    key_update: KeyUpdate | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    id: UUID
    created_at: datetime
    organization: UUID
    actor: Actor
    deed: Deed
    outcome: Outcome = Outcome.SUCCEEDED


def described(service: Service) -> str:
    """What it is, in one line."""
    where = f"{service.provider} {service.region}"
    return f"'{service.name}': Postgres {service.postgres_version}, {service.size.name}, {where}"


def described_tags(tags: Sequence[Tag]) -> str:
    shown = (tag.key if tag.value is None else f"{tag.key}={tag.value}" for tag in tags)
    return f"tags: {', '.join(shown) or 'none'}"


def bounded(text: str) -> str:
    """``text``, printable and not too long to be kept."""
    printable = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return printable if len(printable) <= MAX_TEXT else printable[: MAX_TEXT - 1] + "…"
