"""The metrics of a service. Names and labels without ``howdah_`` are upstream's (contract, section 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from howdah.domain.backups import ArchiveStatus
from howdah.domain.health import HealthStatus
from howdah.domain.metrics import ServiceMetrics, Statistics
from howdah.observability.exposition import Family, Kind, Sample

_GIB = 1 << 30
Value = float | None


def _gauge(name: str, help: str, value: Callable[[ServiceMetrics], Value]) -> Family[ServiceMetrics]:
    return Family(name, Kind.GAUGE, help, lambda of: _known(value(of)))


def _counter(name: str, help: str, value: Callable[[ServiceMetrics], Value]) -> Family[ServiceMetrics]:
    return Family(name, Kind.COUNTER, help, lambda of: _known(value(of)))


def _known(value: Value) -> Iterator[Sample]:
    if value is not None:
        yield {}, value


def _said(value: Callable[[Statistics], Value]) -> Callable[[ServiceMetrics], Value]:
    """By the server itself."""
    return lambda of: None if of.server.statistics is None else value(of.server.statistics)


def _archived(value: Callable[[ArchiveStatus], Value]) -> Callable[[ServiceMetrics], Value]:
    return lambda of: None if of.health is None or of.health.archive is None else value(of.health.archive)


def _info(of: ServiceMetrics) -> Iterator[Sample]:
    yield {"postgres_status": of.service.state, "postgres_version": of.service.postgres_version}, 1


def _cpu(of: ServiceMetrics) -> Iterator[Sample]:
    if (usage := of.server.usage) is None:
        return
    yield {"mode": "user"}, usage.user_seconds
    yield {"mode": "system"}, usage.system_seconds
    used = usage.user_seconds + usage.system_seconds
    yield {"mode": "idle"}, max(0.0, of.service.size.vcpus * usage.running_seconds - used)


def _memory(of: ServiceMetrics, *, own: bool) -> Value:
    if (usage := of.server.usage) is None:
        return None
    taken = usage.shared_bytes + (usage.own_bytes if own else 0)
    return 100 * taken / (of.service.size.memory_gib * _GIB)


def _filled(of: ServiceMetrics) -> Value:
    said = of.server.statistics
    if said is None or said.stored_bytes is None:
        return None
    return 100 * said.stored_bytes / (of.service.storage_gib * _GIB)


def _connections(of: ServiceMetrics) -> Iterator[Sample]:
    if of.server.statistics is not None:
        for state, number in of.server.statistics.connections.items():
            yield {"state": state}, number


def _hits(said: Statistics) -> Value:
    blocks = said.blocks_hit + said.blocks_read
    return 100 * said.blocks_hit / blocks if blocks else None


def _databases(of: ServiceMetrics) -> Iterator[Sample]:
    if of.server.statistics is not None:
        for database, size in (of.server.statistics.databases or {}).items():
            yield {"database": database}, size


def _lag_bytes(of: ServiceMetrics) -> Iterator[Sample]:
    return (({"member": follower.instance.ubid}, follower.lag_bytes) for follower in of.followers)


def _lag_seconds(of: ServiceMetrics) -> Iterator[Sample]:
    return (({"member": follower.instance.ubid}, follower.lag_seconds) for follower in of.followers)


def _streaming(of: ServiceMetrics) -> Value:
    known = of.service.is_primary and of.server.statistics is not None
    return len(of.followers) if known else None


def _slots(of: ServiceMetrics) -> Iterator[Sample]:
    if of.server.statistics is not None:
        for slot, kept in of.server.statistics.slots.items():
            yield {"slot": slot}, kept


def _health(of: ServiceMetrics) -> Iterator[Sample]:
    if of.health is not None:
        for status in HealthStatus:
            yield {"status": status}, int(of.health.status is status)


def _since(of: ServiceMetrics, then: datetime | None) -> Value:
    return None if then is None else max(0.0, (of.at - then).total_seconds())


def _last_backup(of: ServiceMetrics) -> Value:
    bases = of.health.archive.bases if of.health is not None and of.health.archive is not None else ()
    return _since(of, bases[-1].finished_at if bases else None)


def _window(archive: ArchiveStatus) -> Value:
    if archive.window is None:
        return None
    return (archive.window.latest - archive.window.earliest).total_seconds()


def _last_drill(of: ServiceMetrics) -> Value:
    drills = of.health.drills if of.health is not None else ()
    return _since(of, drills[0].finished_at if drills else None)


def _last_problems(of: ServiceMetrics) -> Value:
    drills = of.health.drills if of.health is not None else ()
    return len(drills[0].problems) if drills else None


def _last_verified(of: ServiceMetrics) -> Value:
    drills = of.health.drills if of.health is not None else ()
    return _since(of, next((drill.finished_at for drill in drills if drill.ok), None))


FAMILIES: tuple[Family[ServiceMetrics], ...] = (
    Family("PostgresServiceInfo", Kind.GAUGE, "State and version of the service, always 1.", _info),
    _gauge("PostgresServer_CPUCores", "CPU cores of its size.", lambda of: of.service.size.vcpus),
    _gauge("PostgresServer_MemoryLimitBytes", "Memory of its size.", lambda of: of.service.size.memory_gib * _GIB),
    _gauge("PostgresServer_StorageLimitBytes", "Storage of its size.", lambda of: of.service.storage_gib * _GIB),
    Family("PostgresServer_CPUSeconds_Total", Kind.COUNTER, "CPU time since its server was started, by mode.", _cpu),
    _gauge(
        "PostgresServer_MemoryUsedPercent",
        "Memory that its processes take, buffers included, as a percentage of that of its size.",
        lambda of: _memory(of, own=True),
    ),
    _gauge(
        "PostgresServer_MemoryCachePercent",
        "Memory that its buffers take, as a percentage of that of its size.",
        lambda of: _memory(of, own=False),
    ),
    _gauge(
        "PostgresServer_FilesystemUsedPercent",
        "What its databases and its WAL take, as a percentage of the storage of its size.",
        _filled,
    ),
    Family("PostgresServer_ActiveConnections", Kind.GAUGE, "Connections of clients, by state.", _connections),
    _gauge(
        "PostgresServer_CacheHitRatio",
        "Blocks found in Postgres' buffers, as a percentage of those that were looked for.",
        _said(_hits),
    ),
    Family("PostgresServer_DatabaseSizeBytes", Kind.GAUGE, "Size of each database on disk.", _databases),
    _counter("PostgresServer_DiskReads_Total", "Reads of files by Postgres.", _said(lambda said: said.reads)),
    _counter("PostgresServer_DiskWrites_Total", "Writes of files by Postgres.", _said(lambda said: said.writes)),
    _counter(
        "PostgresServer_NetworkReceiveBytes_Total",
        "Bytes that came from clients.",
        lambda of: None if of.traffic is None else of.traffic.received,
    ),
    _counter(
        "PostgresServer_NetworkTransmitBytes_Total",
        "Bytes that went to clients.",
        lambda of: None if of.traffic is None else of.traffic.sent,
    ),
    _counter("PostgresServer_TuplesFetched_Total", "Rows fetched by queries.", _said(lambda said: said.fetched)),
    _counter("PostgresServer_TuplesInserted_Total", "Rows inserted.", _said(lambda said: said.inserted)),
    _counter("PostgresServer_TuplesUpdated_Total", "Rows updated.", _said(lambda said: said.updated)),
    _counter("PostgresServer_TuplesDeleted_Total", "Rows deleted.", _said(lambda said: said.deleted)),
    _counter(
        "PostgresServer_TransactionsCommitted_Total", "Transactions committed.", _said(lambda said: said.committed)
    ),
    _counter(
        "PostgresServer_TransactionsRolledBack_Total", "Transactions rolled back.", _said(lambda said: said.rolled_back)
    ),
    _counter("PostgresServer_Deadlocks_Total", "Deadlocks.", _said(lambda said: said.deadlocks)),
    _gauge(
        "howdah_up",
        "Whether the server of the service answered, 1 or 0.",
        lambda of: int(of.server.statistics is not None),
    ),
    _gauge(
        "howdah_server_running_seconds",
        "Time since its server was started.",
        lambda of: None if of.server.usage is None else of.server.usage.running_seconds,
    ),
    _gauge("howdah_max_connections", "Connections that it takes.", _said(lambda said: said.max_connections)),
    _gauge("howdah_wal_bytes", "Size of its WAL directory.", _said(lambda said: said.wal_bytes)),
    _gauge(
        "howdah_oldest_transaction_seconds",
        "Time since the oldest open transaction of a client began, prepared ones included; 0 without any.",
        _said(lambda said: said.oldest_transaction),
    ),
    _gauge(
        "howdah_wraparound_distance_transactions",
        "Transactions until Postgres refuses to write because it has not been vacuumed.",
        _said(lambda said: said.transactions_left),
    ),
    Family("howdah_slot_retained_bytes", Kind.GAUGE, "WAL that each replication slot keeps.", _slots),
    _gauge("howdah_standbys_wanted", "Standbys by its haType.", lambda of: of.service.ha_type.standbys),
    _gauge(
        "howdah_standbys_streaming",
        "Standbys that receive what it writes.",
        _streaming,
    ),
    Family(
        "howdah_replication_lag_bytes", Kind.GAUGE, "WAL that a standby or read replica has not replayed.", _lag_bytes
    ),
    Family(
        "howdah_replication_lag_seconds",
        Kind.GAUGE,
        "How long it took a standby or read replica of late to replay what was written; 0 when nothing is written.",
        _lag_seconds,
    ),
    Family(
        "howdah_health_status", Kind.GAUGE, "1 for the present one, as GET /v1/howdah/services/{id}/health.", _health
    ),
    _gauge("howdah_last_backup_age_seconds", "Time since its last base backup was finished.", _last_backup),
    _gauge("howdah_backups", "Base backups in the archive.", _archived(lambda archive: len(archive.bases))),
    _gauge(
        "howdah_restore_window_seconds",
        "From the earliest moment that can be restored to the latest.",
        _archived(_window),
    ),
    _gauge(
        "howdah_archive_lag_seconds",
        "For how long WAL has been on its way to the archive.",
        _archived(lambda archive: archive.lag_seconds),
    ),
    _gauge(
        "howdah_archive_waiting_bytes",
        "WAL that its server has written and is not in the archive yet.",
        _archived(lambda archive: archive.waiting_bytes),
    ),
    _gauge(
        "howdah_archive_spool_bytes",
        "What its spool takes on disk, the segment that is being received included.",
        _archived(lambda archive: archive.spool_bytes),
    ),
    _gauge(
        "howdah_archive_stored_bytes", "What the archive holds of it.", _archived(lambda archive: archive.stored_bytes)
    ),
    _gauge(
        "howdah_archive_gaps",
        "Gaps in what can be restored.",
        _archived(lambda archive: len(archive.window.gaps) if archive.window is not None else 0),
    ),
    _gauge(
        "howdah_archive_problem",
        "Whether archiving does not go on, 1 or 0.",
        _archived(lambda archive: int(archive.problem is not None)),
    ),
    _gauge("howdah_last_drill_age_seconds", "Time since its last drill ended.", _last_drill),
    _gauge("howdah_last_drill_problems", "What its last drill found.", _last_problems),
    _gauge("howdah_last_verified_restore_age_seconds", "Time since the last drill that found nothing.", _last_verified),
)
