"""Backups, drills, and how a service is."""

from __future__ import annotations

from howdah.api.schemas.terms import (
    BOOLEAN,
    INSTANT,
    INTEGER,
    MOMENT,
    TEXT,
    Schema,
    array,
    choice,
    described,
    nullable,
    record,
)
from howdah.domain.backups import BackupKind
from howdah.domain.health import HealthStatus
from howdah.domain.states import ServiceState

_WAITING = described(INTEGER, "WAL that the server has written and the archive lacks")
_SPOOL = described(INTEGER, "What waits there takes on disk, the segment that is being received included")

_LAG = described({"type": "number", "minimum": 0}, "For how long some of that has been on its way")

_STORED = described(INTEGER, "All that the archive has of the service")

_HEALTH: dict[str, Schema] = {
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
                    "spoolBytes": _SPOOL,
                    "storedBytes": _STORED,
                    "lastDrillAt": nullable(MOMENT),
                    "lastVerifiedRestoreAt": described(nullable(MOMENT), "The last drill that found nothing wrong"),
                    "gaps": described(INTEGER, "Times in which no moment can be restored"),
                    "problem": nullable(TEXT),
                }
            )
        ),
        "null where backups are off or the archive is out of reach, and of a read replica",
    ),
}

_BACKUP: dict[str, Schema] = {"key": TEXT, "lastModified": MOMENT, "status": {"const": "completed"}}

_ARCHIVE = record(
    {
        "earliestRestoreTime": nullable(MOMENT),
        "latestWalTime": described(nullable(MOMENT), "When the newest WAL in the archive was written"),
        "gaps": described(
            array(record({"since": INSTANT, "until": nullable(INSTANT), "reason": TEXT})),
            "No moment in between can be restored; until null: no base backup has closed it yet",
        ),
        "backupUnderWaySince": nullable(MOMENT),
        "problem": described(
            nullable(TEXT), "Why archiving does not go on, or no base backup can be taken; null while all goes on"
        ),
        "waitingBytes": _WAITING,
        "lagSeconds": _LAG,
        "spoolBytes": _SPOOL,
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
                    "notCompared": described(nullable(TEXT), "Why there are no tablesCompared, in words"),
                }
            )
        ),
    }
)

BACKUPS: dict[str, Schema] = {
    "PostgresBackup": record(_BACKUP),
    "Archive": _ARCHIVE,
    "ServiceHealth": record(_HEALTH),
    "HealthSummary": record({"id": TEXT, "name": TEXT} | _HEALTH),
    "BackupRequest": record({"request": described(INTEGER, "Shown by the backup that answers it")}),
    "Drills": _DRILLS,
    "DrillBegun": record({"startedAt": described(MOMENT, "Of the drill that shows it when it is finished")}),
}
