"""Domain values as the dictionaries that answers carry. Built by hand: this is the hot path of a read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid5

from howdah.domain.backups import ArchiveStatus, BaseBackup, Gap
from howdah.domain.catalog import Catalog
from howdah.domain.deleted import DeletedService
from howdah.domain.drills import DrillResult
from howdah.domain.health import Health
from howdah.domain.ids import ServiceId
from howdah.domain.memory import Memory
from howdah.domain.organizations import ApiKey, ApiVersion, Organization
from howdah.domain.services import Service
from howdah.domain.sources import EVERYWHERE, Source
from howdah.domain.states import HaType, PostgresVersion
from howdah.domain.tags import Tag

USERNAME = "postgres"
_ANYWHERE = ("0.0.0.0/0", "::/0")


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def exact_timestamp(moment: datetime) -> str:
    """The same with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def rounded_up(moment: datetime) -> str:
    """The first whole millisecond that is not before ``moment``, so that what is shown can be asked for."""
    return timestamp(moment + timedelta(microseconds=-moment.microsecond % 1000))


def service_id(id: ServiceId, version: ApiVersion) -> str:
    return str(id.uuid) if version is ApiVersion.BETA else id.ubid


def tags(given: tuple[Tag, ...]) -> list[dict[str, str]]:
    return [{"key": tag.key} if tag.value is None else {"key": tag.key, "value": tag.value} for tag in given]


def service(found: Service, version: ApiVersion, connection_string: str | None) -> dict[str, Any]:
    """A service with the seed's fields in the seed's order; with credentials when a connection string is given."""
    shown: dict[str, Any] = {
        "id": service_id(found.id, version),
        "name": found.name,
        "provider": found.provider,
        "region": found.region,
        "postgresVersion": found.postgres_version,
        "size": found.size.name,
        "storageSize": found.storage_gib,
        "haType": found.ha_type,
        "tags": tags(found.tags),
    }
    if connection_string is not None:
        shown["connectionString"] = connection_string
    shown["username"] = USERNAME
    if connection_string is not None:
        shown["password"] = found.password
    shown["hostname"] = found.hostname
    shown["isPrimary"] = found.is_primary
    shown["state"] = found.state
    shown["createdAt"] = timestamp(found.created_at)
    shown["ipAccessList"] = open_access_list(found.id)
    if found.earliest_restore is not None:
        shown["earliestRestoreTime"] = rounded_up(found.earliest_restore)
    return shown


def open_access_list(service: ServiceId) -> list[dict[str, str]]:
    """Everybody, direct and pooled: what a service has that was created without a list, the only kind so far."""
    return [
        {"id": entry, "source": source, "portRange": "5432..6432"}
        for entry, source in zip(_entries(service.uuid), _ANYWHERE, strict=True)
    ]


@lru_cache(maxsize=8192)
def _entries(service: UUID) -> tuple[str, ...]:
    """Hashes, which cost more than what is read from the store."""
    return tuple(str(uuid5(service, source)) for source in _ANYWHERE)


def list_item(found: Service, version: ApiVersion) -> dict[str, Any]:
    """A service as a list shows it: no credentials, and a hostname in ``preview`` only."""
    shown: dict[str, Any] = {
        "id": service_id(found.id, version),
        "name": found.name,
        "provider": found.provider,
        "region": found.region,
        "postgresVersion": found.postgres_version,
        "size": found.size.name,
        "haType": found.ha_type,
        "tags": tags(found.tags),
    }
    if version is ApiVersion.PREVIEW:
        shown["hostname"] = found.hostname
    shown["isPrimary"] = found.is_primary
    shown["state"] = found.state
    shown["createdAt"] = timestamp(found.created_at)
    if found.earliest_restore is not None:
        shown["earliestRestoreTime"] = rounded_up(found.earliest_restore)
    return shown


def backup(found: BaseBackup) -> dict[str, Any]:
    """As upstream shows one."""
    return {"key": found.name, "lastModified": timestamp(found.finished_at), "status": "completed"}


def archive(found: ArchiveStatus) -> dict[str, Any]:
    """How the archiving of a service is, with its backups in full, newest first."""
    window = found.window
    return {
        "earliestRestoreTime": None if window is None else rounded_up(window.earliest),
        "latestWalTime": None if window is None else rounded_up(window.latest),
        "gaps": [_gap(gap) for gap in window.gaps] if window is not None else [],
        "backupUnderWaySince": None if found.under_way is None else timestamp(found.under_way),
        "problem": found.problem,
        "waitingBytes": found.waiting_bytes,
        "lagSeconds": round(found.lag_seconds, 3),
        "spoolBytes": found.spool_bytes,
        "storedBytes": found.stored_bytes,
        "backups": [_full_backup(base) for base in reversed(found.bases)],
    }


def deleted(found: DeletedService, version: ApiVersion, stored_bytes: int | None) -> dict[str, Any]:
    """A service of which nothing but its backups is left, and how much they are."""
    return {
        "id": service_id(found.id, version),
        "name": found.name,
        "provider": found.provider,
        "region": found.region,
        "postgresVersion": found.postgres_version,
        "size": found.size.name,
        "storageSize": found.storage_gib,
        "tags": tags(found.tags),
        "createdAt": timestamp(found.created_at),
        "deletedAt": timestamp(found.deleted_at),
        "keepUntil": timestamp(found.keep_until),
        "earliestRestoreTime": None if found.earliest_restore is None else rounded_up(found.earliest_restore),
        "storedBytes": stored_bytes,
        "problem": found.problem,
    }


def health(found: Health) -> dict[str, Any]:
    return {
        "status": found.status,
        "reasons": list(found.reasons),
        "state": found.state,
        "backups": None if found.archive is None else _backup_health(found.archive, found.drills, found.at),
    }


def _backup_health(found: ArchiveStatus, drills: Sequence[DrillResult], now: datetime) -> dict[str, Any]:
    verified = next((drill for drill in drills if drill.ok), None)
    last = found.bases[-1] if found.bases else None
    return {
        "lastBackupAt": None if last is None else timestamp(last.finished_at),
        "lastBackupAgeSeconds": None if last is None else max(0, round((now - last.finished_at).total_seconds())),
        "earliestRestoreTime": None if found.window is None else rounded_up(found.window.earliest),
        "latestWalTime": None if found.window is None else rounded_up(found.window.latest),
        "lagSeconds": round(found.lag_seconds, 3),
        "waitingBytes": found.waiting_bytes,
        "spoolBytes": found.spool_bytes,
        "storedBytes": found.stored_bytes,
        "lastDrillAt": timestamp(drills[0].started_at) if drills else None,
        "lastVerifiedRestoreAt": None if verified is None else timestamp(verified.started_at),
        "gaps": len(found.window.gaps) if found.window is not None else 0,
        "problem": found.problem,
    }


def _gap(found: Gap) -> dict[str, Any]:
    until = None if found.until is None else exact_timestamp(found.until)
    return {"since": exact_timestamp(found.since), "until": until, "reason": found.reason}


def _full_backup(found: BaseBackup) -> dict[str, Any]:
    return backup(found) | {
        "kind": found.kind,
        "parent": found.parent,
        "request": found.request,
        "postgres": found.postgres,
        "startedAt": timestamp(found.started_at),
        "finishedAt": timestamp(found.finished_at),
        "storedBytes": found.stored_bytes,
        "dataBytes": found.data_bytes,
    }


def organization(found: Organization) -> dict[str, Any]:
    return {
        "id": str(found.id),
        "createdAt": timestamp(found.created_at),
        "name": found.name,
        "privateEndpoints": [],
        "byocConfig": [],
        "enableCoreDumps": False,
    }


def key(found: ApiKey) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": str(found.id),
        "name": found.name,
        "state": found.state,
        "roles": list(found.roles),
        "assignedRoles": [
            {"roleId": str(role.id), "roleName": role.label, "roleType": "system"} for role in found.roles
        ],
        "keySuffix": found.suffix,
        "createdAt": timestamp(found.created_at),
        "expireAt": None if found.expire_at is None else timestamp(found.expire_at),
    }
    if found.used_at is not None:
        shown["usedAt"] = timestamp(found.used_at)
    shown["ipAccessList"] = [_source(source) for source in (EVERYWHERE if found.sources is None else found.sources)]
    return shown


def _source(found: Source) -> dict[str, str]:
    return {"source": found.text} | ({} if found.description is None else {"description": found.description})


def catalog(found: Catalog, memory: Memory | None) -> dict[str, Any]:
    return {
        "providers": [{"name": name, "regions": list(regions)} for name, regions in found.regions.items()],
        "sizes": [
            {
                "name": size.name,
                "provider": size.provider,
                "vcpus": size.vcpus,
                "memoryGiB": size.memory_gib,
                "storageGiB": size.storage_gib,
                "arch": size.arch,
            }
            for size in found.sizes.values()
        ],
        "postgresVersions": list(PostgresVersion),
        "haTypes": list(HaType),
        "memory": None if memory is None else {"totalGiB": memory.total_gib, "freeGiB": memory.free_gib},
    }
