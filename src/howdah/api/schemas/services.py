"""Services, and what is said of where and how to reach them."""

from __future__ import annotations

from howdah.api.schemas.terms import (
    BOOLEAN,
    INTEGER,
    MOMENT,
    SERVICE_ID,
    TEXT,
    UUID,
    Schema,
    array,
    choice,
    described,
    nullable,
    record,
    reference,
)
from howdah.domain.states import HaType, PostgresVersion, ServiceState

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
        "storedBytes": described(nullable(INTEGER), "What the archive holds of it; null while that cannot be asked"),
        "problem": described(nullable(TEXT), "What its backups lack; null when they have all that it committed"),
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
        "memory": described(
            nullable(record({"totalGiB": INTEGER, "freeGiB": INTEGER})),
            "What servers may have together, and what of it no server has; null where they are promised none",
        ),
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

SERVICES: dict[str, Schema] = {
    "PostgresService": _SERVICE,
    "PostgresServiceListItem": _LIST_ITEM,
    "PostgresServicePasswordResource": record(
        {"password": described(TEXT, "Only when it was generated")}, optional=("password",)
    ),
    "DeletedService": _DELETED,
    "Operation": _OPERATION,
    "State": choice(ServiceState),
    "ServiceState": record(
        {
            "id": SERVICE_ID,
            "name": TEXT,
            "state": reference("State"),
            "reason": {"type": ["string", "null"], "description": "Why it is not running; null when nothing is wrong"},
        }
    ),
    "Catalog": _CATALOG,
    "Connections": _CONNECTIONS,
}
