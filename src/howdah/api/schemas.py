"""JSON Schemas of what answers carry; those of bodies come from ``models``."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from howdah.domain.activities import ActivityType, ActorType, KeyUpdate, Outcome
from howdah.domain.backups import BackupKind
from howdah.domain.failovers import ChangeKind
from howdah.domain.health import HealthStatus
from howdah.domain.instances import Role as MemberRole
from howdah.domain.members import MemberState
from howdah.domain.organizations import ApiVersion, KeyState, Role
from howdah.domain.states import HaType, PostgresVersion, ServiceState

Schema = dict[str, Any]

_UBID = "pg[0-9a-hjkmnp-tv-z]{24}"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"

TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
UUID: Schema = {"type": "string", "format": "uuid"}
MOMENT: Schema = {"type": "string", "format": "date-time", "pattern": _MOMENT, "examples": ["2026-03-26T20:51:16.384Z"]}
INSTANT: Schema = {"type": "string", "format": "date-time"}


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def choice(values: type[StrEnum]) -> Schema:
    return {"type": "string", "enum": list(values)}


def record(fields: Mapping[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """An object whose fields are all there, save those that are optional."""
    required = [field for field in fields if field not in optional]
    return {"type": "object", "properties": dict(fields), "required": required}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def described(schema: Schema, text: str) -> Schema:
    return schema | {"description": text}


SERVICE_ID: Schema = {
    "type": "string",
    "pattern": f"^({_UBID}|{_UUID})$",
    "description": "A UBID in the API version preview, a UUID (the same 128 bits) in beta",
    "examples": ["pg7myrd1j06p3gx4zrm2ze8qz6", "3d3d8686-4035-86d0-8749-fc505f722ff3"],
}

_COMMON: dict[str, Schema] = {
    "id": SERVICE_ID,
    "name": TEXT,
    "provider": TEXT,
    "region": TEXT,
    "postgresVersion": choice(PostgresVersion),
    "size": TEXT,
}
_STATE: dict[str, Schema] = {
    "isPrimary": BOOLEAN,
    "state": reference("State"),
    "createdAt": MOMENT,
}
_EARLIEST = described(MOMENT, "The first moment to which it can be restored; absent while there is none")
_CREDENTIAL = "Never for query_endpoints; in beta in the answer to a create or a restore only"

_SERVICE = record(
    _COMMON
    | {
        "storageSize": described(INTEGER, "GiB"),
        "haType": choice(HaType),
        "tags": array(reference("Tag")),
        "connectionString": described(TEXT, f"As libpq reads it. {_CREDENTIAL}"),
        "username": TEXT,
        "password": described(TEXT, _CREDENTIAL),
        "hostname": TEXT,
    }
    | _STATE
    | {
        "ipAccessList": array(record({"id": UUID, "source": TEXT, "portRange": TEXT})),
        "earliestRestoreTime": _EARLIEST,
    },
    optional=("connectionString", "password", "earliestRestoreTime"),
)

_LIST_ITEM = record(
    _COMMON
    | {
        "haType": choice(HaType),
        "tags": array(reference("Tag")),
        "hostname": described(TEXT, "In preview only"),
    }
    | _STATE
    | {"earliestRestoreTime": _EARLIEST},
    optional=("hostname", "earliestRestoreTime"),
)

_DELETED = record(
    _COMMON
    | {
        "storageSize": described(INTEGER, "GiB"),
        "tags": array(reference("Tag")),
        "createdAt": MOMENT,
        "deletedAt": described(MOMENT, "The last moment to which it can be restored"),
        "keepUntil": described(MOMENT, "When its backups go, too"),
        "earliestRestoreTime": described(
            nullable(MOMENT), "The first moment to which it can be restored; null while the archive lacks its last WAL"
        ),
        "problem": described(nullable(TEXT), "What its backups lack; null when they have all that it committed"),
    }
)

_KEY = record(
    {
        "id": UUID,
        "name": TEXT,
        "state": choice(KeyState),
        "roles": array(choice(Role)),
        "assignedRoles": array(
            record({"roleId": UUID, "roleName": TEXT, "roleType": {"const": "system"}}),
        ),
        "keySuffix": described(TEXT, "The last 4 characters of the secret; keyIdSuffix for a key made with hashData"),
        "createdAt": MOMENT,
        "expireAt": {"anyOf": [MOMENT, {"type": "null"}]},
        "usedAt": described(MOMENT, "To the minute"),
        "ipAccessList": described(
            array(record({"source": TEXT, "description": TEXT}, optional=("description",))), "From where it may be used"
        ),
    },
    optional=("usedAt",),
)

_ORGANIZATION = record(
    {
        "id": UUID,
        "createdAt": MOMENT,
        "name": TEXT,
        "privateEndpoints": described(array({"type": "object"}), "There are none"),
        "byocConfig": described(array({"type": "object"}), "There is none"),
        "enableCoreDumps": BOOLEAN,
    }
)

_ACTIVITY = record(
    {
        "id": TEXT,
        "createdAt": MOMENT,
        "type": choice(ActivityType),
        "actorType": choice(ActorType),
        "actorId": described(TEXT, "The id of the API key, or the name of the user of the command line"),
        "actorDetails": described(TEXT, "The name of the key, or the command"),
        "actorIpAddress": TEXT,
        "organizationId": UUID,
        "serviceId": SERVICE_ID,
        "userAgent": TEXT,
        "targetKeyId": described(UUID, "The key that it is about"),
        "keyUpdateType": choice(KeyUpdate),
        "outcome": choice(Outcome),
        "changes": described(TEXT, "What was done, in words; or why not"),
    },
    optional=("actorIpAddress", "serviceId", "userAgent", "targetKeyId", "keyUpdateType"),
)

_BACKUP: dict[str, Schema] = {"key": TEXT, "lastModified": MOMENT, "status": {"const": "completed"}}

_NUMBER: Schema = {"type": "number"}
_WAITING = described(INTEGER, "WAL that is on its way to the archive")
_LAG = described({"type": "number", "minimum": 0}, "How much newer the newest WAL is than what the archive has")
_STORED = described(INTEGER, "All that the archive has of the service")

_HEALTH = record(
    {
        "status": choice(HealthStatus),
        "reasons": described(array(TEXT), "Why it is not ok"),
        "state": choice(ServiceState),
        "backups": described(
            nullable(
                record(
                    {
                        "lastBackupAt": nullable(MOMENT),
                        "lastBackupAgeSeconds": nullable(INTEGER),
                        "earliestRestoreTime": nullable(MOMENT),
                        "latestWalTime": nullable(MOMENT),
                        "lagSeconds": _LAG,
                        "waitingBytes": _WAITING,
                        "storedBytes": _STORED,
                        "lastDrillAt": nullable(MOMENT),
                        "lastVerifiedRestoreAt": described(nullable(MOMENT), "The last drill that found nothing wrong"),
                        "gaps": described(INTEGER, "Times in which no moment can be restored"),
                        "problem": nullable(TEXT),
                    }
                )
            ),
            "null where backups are off or the archive is out of reach",
        ),
    }
)

_ARCHIVE = record(
    {
        "earliestRestoreTime": nullable(MOMENT),
        "latestWalTime": described(nullable(MOMENT), "When the newest WAL in the archive was written"),
        "gaps": described(
            array(record({"since": INSTANT, "until": nullable(INSTANT), "reason": TEXT})),
            "No moment in between can be restored; until null: no base backup has closed it yet",
        ),
        "backupUnderWaySince": nullable(MOMENT),
        "problem": described(nullable(TEXT), "Why archiving does not go on; null while it does"),
        "waitingBytes": _WAITING,
        "lagSeconds": _LAG,
        "storedBytes": _STORED,
        "backups": array(
            record(
                _BACKUP
                | {
                    "kind": choice(BackupKind),
                    "parent": described(nullable(TEXT), "The key of the backup that it builds on"),
                    "request": described(INTEGER, "The newest request that it answers; 0 for none"),
                    "postgres": TEXT,
                    "startedAt": MOMENT,
                    "finishedAt": MOMENT,
                    "storedBytes": INTEGER,
                    "dataBytes": INTEGER,
                }
            )
        ),
    }
)

_DRILLS = record(
    {
        "underWay": nullable(
            record(
                {
                    "startedAt": MOMENT,
                    "doing": TEXT,
                    "percent": INTEGER,
                    "problem": described(nullable(TEXT), "Why it could not be done so far; it is tried again"),
                }
            )
        ),
        "nextAt": described(nullable(MOMENT), "When the schedule has the next one; null: never"),
        "drills": array(
            record(
                {
                    "startedAt": MOMENT,
                    "finishedAt": MOMENT,
                    "ok": BOOLEAN,
                    "problems": described(array(TEXT), "All that is wrong, in words; empty when ok"),
                    "backups": described(array(TEXT), "The keys of those that were restored, the full one first"),
                    "restoredUntil": described(
                        nullable(INSTANT), "When the last transaction ended that was replayed; null for none"
                    ),
                    "restoredLsn": described(nullable(TEXT), "The last WAL that was replayed"),
                    "dataBytes": described(INTEGER, "Of the restored data directory"),
                    "checksumsChecked": described(BOOLEAN, "Whether the checksum of every page was checked"),
                    "relationsChecked": described(INTEGER, "Tables and indexes that amcheck looked into"),
                    "tablesCompared": described(
                        array(
                            record(
                                {
                                    "database": TEXT,
                                    "table": TEXT,
                                    "restoredRows": INTEGER,
                                    "leastRows": INTEGER,
                                    "mostRows": INTEGER,
                                }
                            )
                        ),
                        "Their rows, and how many they can have had in the service",
                    ),
                }
            )
        ),
    }
)

_MEMBERS = record(
    {
        "members": array(
            record(
                {
                    "id": TEXT,
                    "role": choice(MemberRole),
                    "state": choice(MemberState),
                    "reason": described(nullable(TEXT), "Why it failed"),
                    "canTakeOver": described(BOOLEAN, "Whether its data are the service's"),
                    "acknowledges": described(BOOLEAN, "Whether commits wait for it or another such"),
                    "receivedLsn": described(nullable(TEXT), "Until where a standby has everything durably"),
                    "replayedLsn": described(nullable(TEXT), "Until where a standby shows everything"),
                    "lagBytes": described(nullable(INTEGER), "WAL that the primary has beyond receivedLsn"),
                }
            )
        ),
        "primaryChanges": described(
            array(
                record(
                    {
                        "id": UUID,
                        "at": MOMENT,
                        "kind": choice(ChangeKind),
                        "cause": TEXT,
                        "from": TEXT,
                        "to": TEXT,
                        "lsn": described(nullable(TEXT), "Until where the new primary had everything"),
                        "lostBytes": described(nullable(INTEGER), "WAL that it lacked; null: not known"),
                        "detectionMs": described(nullable(_NUMBER), "Since the last time that all was well"),
                        "fencingMs": described(nullable(_NUMBER), "Until no process of the former one was left"),
                        "promotionMs": described(nullable(_NUMBER), "Until the new one accepted writes"),
                        "firstWriteMs": described(nullable(_NUMBER), "From the beginning until then"),
                    }
                )
            ),
            "The newest first, at most 100",
        ),
    }
)

_OPERATION = record(
    {
        "operation": {"type": "string", "enum": ["restore", "backup"]},
        "status": {"type": "string", "enum": ["running", "failing", "succeeded"]},
        "startedAt": MOMENT,
        "detail": described(nullable(TEXT), "What is being done, and how much is done; or why it fails"),
        "state": reference("State"),
        "restoreTarget": described(TEXT, "RFC 3339, or latest"),
    },
    optional=("state", "restoreTarget"),
)

_CATALOG = record(
    {
        "providers": array(record({"name": TEXT, "regions": array(TEXT)})),
        "sizes": array(
            record(
                {
                    "name": TEXT,
                    "provider": TEXT,
                    "vcpus": INTEGER,
                    "memoryGiB": INTEGER,
                    "storageGiB": described(INTEGER, "The storageSize that belongs to this size"),
                    "arch": TEXT,
                }
            )
        ),
        "postgresVersions": array(choice(PostgresVersion)),
        "haTypes": array(choice(HaType)),
    }
)

_STRINGS: Schema = {"type": "object", "additionalProperties": TEXT}

_BY_DRIVER: dict[str, Schema] = {
    "direct": described(_STRINGS, "By driver: encrypted, and channel-bound where the driver can"),
    "verified": described(_STRINGS, "By driver: verifying the server by its CA certificates too"),
}

_CONNECTIONS = record(
    {
        **_BY_DRIVER,
        "readOnly": described(
            nullable(record(_BY_DRIVER)),
            "The same with the read-only name, which reaches a standby; null for a service with the haType none."
            " All others reach the primary",
        ),
        "pooled": {"type": "null", "description": "Not yet supported"},
        "notes": array(TEXT),
    }
)

_ERROR = record(
    {
        "status": described(INTEGER, "The HTTP status"),
        "error": described(TEXT, "CODE: a sentence that names the field, the rule it broke and what is accepted"),
        "requestId": UUID,
    }
)

SCHEMAS: dict[str, Schema] = {
    "PostgresService": _SERVICE,
    "PostgresServiceListItem": _LIST_ITEM,
    "PostgresServicePasswordResource": record(
        {"password": described(TEXT, "Only when it was generated")}, optional=("password",)
    ),
    "PostgresBackup": record(_BACKUP),
    "Archive": _ARCHIVE,
    "ServiceHealth": _HEALTH,
    "HealthSummary": record(
        {
            "id": TEXT,
            "name": TEXT,
            "state": choice(ServiceState),
            "status": choice(HealthStatus),
            "reasons": array(TEXT),
        }
    ),
    "BackupRequest": record({"request": described(INTEGER, "Shown by the backup that answers it")}),
    "Drills": _DRILLS,
    "DrillBegun": record({"startedAt": described(MOMENT, "Of the drill that shows it when it is finished")}),
    "DeletedService": _DELETED,
    "Operation": _OPERATION,
    "Members": _MEMBERS,
    "State": choice(ServiceState),
    "Organization": _ORGANIZATION,
    "Activity": _ACTIVITY,
    "ApiKey": _KEY,
    "ApiKeyPostResponse": record(
        {
            "key": reference("ApiKey"),
            "keyId": described(TEXT, "Not with hashData"),
            "keySecret": described(TEXT, "Shown now and never again; not with hashData"),
        },
        optional=("keyId", "keySecret"),
    ),
    "Catalog": _CATALOG,
    "Version": record({"howdah": TEXT, "apiVersion": choice(ApiVersion), "apiVersions": array(choice(ApiVersion))}),
    "ServiceState": record(
        {
            "id": SERVICE_ID,
            "name": TEXT,
            "state": reference("State"),
            "reason": {"type": ["string", "null"], "description": "Why it is not running; null when nothing is wrong"},
        }
    ),
    "Connections": _CONNECTIONS,
    "Health": record({"healthy": BOOLEAN}),
    "Readiness": record({"ready": BOOLEAN}),
    "Error": _ERROR,
}
