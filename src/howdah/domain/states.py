"""The states of a service and the rules that derive them."""

from enum import StrEnum


class ServiceState(StrEnum):
    """What a client reads in ``state``."""

    CREATING = "creating"
    RUNNING = "running"
    RESTARTING = "restarting"
    RESTORING_BACKUP = "restoring_backup"
    REPLAYING_WAL = "replaying_wal"
    FINALIZING_RESTORE = "finalizing_restore"
    UNAVAILABLE = "unavailable"
    STOPPED = "stopped"
    DELETING = "deleting"


RESTORING = (ServiceState.RESTORING_BACKUP, ServiceState.REPLAYING_WAL, ServiceState.FINALIZING_RESTORE)
"""In this order, of one that is made from a backup."""


class HaType(StrEnum):
    """How many standbys a service has and whether commits wait for them."""

    NONE = "none"
    ASYNC = "async"
    SYNC = "sync"

    @property
    def standbys(self) -> int:
        return {HaType.NONE: 0, HaType.ASYNC: 1, HaType.SYNC: 2}[self]


class PostgresVersion(StrEnum):
    """Major versions on offer."""

    V17 = "17"
    V18 = "18"
