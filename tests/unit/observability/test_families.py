"""The metrics of a service: names as upstream has them, ours as Prometheus' own rules want them, values as measured."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client.parser import text_string_to_metric_families

from howdah.domain.backups import ArchiveStatus, BackupKind, BaseBackup, Gap, Window
from howdah.domain.catalog import default_catalog
from howdah.domain.drills import DrillResult
from howdah.domain.health import Known, judge
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.metrics import Follower, ServerMetrics, ServiceMetrics, Statistics, Traffic, Usage
from howdah.domain.services import Service
from howdah.domain.states import HaType, PostgresVersion, ServiceState
from howdah.observability.exposition import Family, Kind, exposition
from howdah.observability.families import FAMILIES

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ID = ServiceId.new()
STANDBY = InstanceId.new()
SIZE = default_catalog().sizes["aws", "r8gd.large"]
SERVICE = Service(
    id=ID, organization=UUID(int=1), name="a", provider="aws", region="us-west-2", size=SIZE,
    storage_gib=SIZE.storage_gib, postgres_version=PostgresVersion.V18, ha_type=HaType.SYNC, tags=(), hostname="a",
    password="", is_primary=True, state=ServiceState.RUNNING, state_reason=None, created_at=NOW,
)  # fmt: skip
STATISTICS = Statistics(
    connections={"active": 1, "idle": 4}, max_connections=100, blocks_hit=75, blocks_read=25, reads=1, writes=2,
    fetched=3, inserted=4, updated=5, deleted=6, committed=7, rolled_back=8, deadlocks=9, wal_bytes=10,
    oldest_transaction=1.5, transactions_left=11, slots={"howdah_archive": 12}, databases={"postgres": 13, "b": 14},
    stored_bytes=(SIZE.storage_gib << 30) // 4,
)  # fmt: skip
USAGE = Usage(user_seconds=2.5, system_seconds=0.5, running_seconds=100.0, own_bytes=1 << 30, shared_bytes=1 << 29)
BASE = BaseBackup(
    name="20261127T110000.000000Z-full", kind=BackupKind.FULL, parent=None, postgres="18.6.0", system_identifier=1,
    started_at=NOW - HOUR, finished_at=NOW - HOUR, start_lsn="0/28", stop_lsn="0/100", wal_timeline=1, stored_bytes=1,
    data_bytes=1, files={}, tablespaces={},
)  # fmt: skip
ARCHIVE = ArchiveStatus(
    (BASE,), Window(NOW - 2 * HOUR, NOW, (Gap(NOW, NOW, "lost"),)), waiting_bytes=15, lag_seconds=0.25, spool_bytes=16,
    stored_bytes=17,
)  # fmt: skip
DRILLS = (
    DrillResult(NOW - 3 * HOUR, NOW - 2 * HOUR, problems=("a", "b")),
    DrillResult(NOW - 5 * HOUR, NOW - 4 * HOUR),
)


SERVER = ServerMetrics(USAGE, STATISTICS)
KNOWN = Known(ARCHIVE, DRILLS)


def measured(server: ServerMetrics = SERVER, known: Known = KNOWN) -> ServiceMetrics:
    health = judge(ServiceState.RUNNING, None, known, interval=24 * HOUR, now=NOW)
    return ServiceMetrics(SERVICE, server, (Follower(ID, STANDBY, 18, 0.125),), Traffic(19, 20), health, NOW)


def samples(of: ServiceMetrics) -> dict[str, float]:
    """By name and own labels, as Prometheus writes them."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition(FAMILIES, [({"of": "it"}, of)])):
        for sample in family.samples:
            assert sample.labels.pop("of") == "it"
            own = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            # The parser gives each counter the end that it has by OpenMetrics.
            name = sample.name.replace("_Total_total", "_Total")
            found[f"{name}{{{own}}}" if own else name] = sample.value
    return found


def test_everything_that_is_measured_is_told() -> None:
    assert samples(measured()) == {
        "PostgresServiceInfo{postgres_status=running,postgres_version=18}": 1,
        "PostgresServer_CPUCores": 2,
        "PostgresServer_MemoryLimitBytes": 16 << 30,
        "PostgresServer_StorageLimitBytes": SIZE.storage_gib << 30,
        "PostgresServer_CPUSeconds_Total{mode=user}": 2.5,
        "PostgresServer_CPUSeconds_Total{mode=system}": 0.5,
        "PostgresServer_CPUSeconds_Total{mode=idle}": 197.0,
        "PostgresServer_MemoryUsedPercent": 9.375,
        "PostgresServer_MemoryCachePercent": 3.125,
        "PostgresServer_FilesystemUsedPercent": 25,
        "PostgresServer_ActiveConnections{state=active}": 1,
        "PostgresServer_ActiveConnections{state=idle}": 4,
        "PostgresServer_CacheHitRatio": 75,
        "PostgresServer_DatabaseSizeBytes{database=postgres}": 13,
        "PostgresServer_DatabaseSizeBytes{database=b}": 14,
        "PostgresServer_DiskReads_Total": 1,
        "PostgresServer_DiskWrites_Total": 2,
        "PostgresServer_NetworkReceiveBytes_Total": 19,
        "PostgresServer_NetworkTransmitBytes_Total": 20,
        "PostgresServer_TuplesFetched_Total": 3,
        "PostgresServer_TuplesInserted_Total": 4,
        "PostgresServer_TuplesUpdated_Total": 5,
        "PostgresServer_TuplesDeleted_Total": 6,
        "PostgresServer_TransactionsCommitted_Total": 7,
        "PostgresServer_TransactionsRolledBack_Total": 8,
        "PostgresServer_Deadlocks_Total": 9,
        "howdah_up": 1,
        "howdah_server_running_seconds": 100,
        "howdah_max_connections": 100,
        "howdah_wal_bytes": 10,
        "howdah_oldest_transaction_seconds": 1.5,
        "howdah_wraparound_distance_transactions": 11,
        "howdah_slot_retained_bytes{slot=howdah_archive}": 12,
        "howdah_standbys_wanted": 2,
        "howdah_standbys_streaming": 1,
        f"howdah_replication_lag_bytes{{member={STANDBY.ubid}}}": 18,
        f"howdah_replication_lag_seconds{{member={STANDBY.ubid}}}": 0.125,
        "howdah_health_status{status=ok}": 0,
        "howdah_health_status{status=warning}": 0,
        "howdah_health_status{status=critical}": 1,
        "howdah_last_backup_age_seconds": 3600,
        "howdah_backups": 1,
        "howdah_restore_window_seconds": 7200,
        "howdah_archive_lag_seconds": 0.25,
        "howdah_archive_waiting_bytes": 15,
        "howdah_archive_spool_bytes": 16,
        "howdah_archive_stored_bytes": 17,
        "howdah_archive_gaps": 1,
        "howdah_archive_problem": 0,
        "howdah_last_drill_age_seconds": 7200,
        "howdah_last_drill_problems": 2,
        "howdah_last_verified_restore_age_seconds": 14400,
    }


def test_what_is_not_known_is_left_out_and_not_zero() -> None:
    found = samples(measured(ServerMetrics(), Known(unknown="the archive is out of reach")))
    assert {name.partition("{")[0] for name in found} == {
        "PostgresServiceInfo",
        "PostgresServer_CPUCores",
        "PostgresServer_MemoryLimitBytes",
        "PostgresServer_StorageLimitBytes",
        "PostgresServer_NetworkReceiveBytes_Total",
        "PostgresServer_NetworkTransmitBytes_Total",
        "howdah_up",
        "howdah_standbys_wanted",
        "howdah_replication_lag_bytes",
        "howdah_replication_lag_seconds",
        "howdah_health_status",
    }
    assert found["howdah_up"] == 0
    unread = replace(STATISTICS, blocks_hit=0, blocks_read=0, databases=None, stored_bytes=None)
    absent = {
        "PostgresServer_CacheHitRatio",
        "PostgresServer_DatabaseSizeBytes",
        "PostgresServer_FilesystemUsedPercent",
    }
    assert not absent & {name.partition("{")[0] for name in samples(measured(ServerMetrics(USAGE, unread)))}


def test_a_service_that_was_never_drilled_or_backed_up_has_no_age_of_it() -> None:
    found = samples(measured(known=Known(ArchiveStatus((), None))))
    assert found["howdah_backups"] == found["howdah_archive_gaps"] == 0
    assert not {name for name in found if "_age_" in name or "drill" in name or "window" in name}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_our_names_keep_the_rules_of_prometheus(family: Family[ServiceMetrics]) -> None:
    """https://prometheus.io/docs/practices/naming/, as ``promtool check metrics`` has them."""
    counts = family.name.endswith(("_total", "_Total"))
    assert counts == (family.kind is Kind.COUNTER)
    assert family.help.endswith(".")
    if not family.name.startswith("Postgres"):
        assert re.fullmatch(r"howdah(_[a-z]+)+", family.name)
        assert not re.search(r"_(count|sum|bucket|info|ms|minutes|hours|kb|mb|gauge|counter)(_|$)", family.name)


def test_the_documentation_names_each() -> None:
    told = Path("docs/metrics.md").read_text()
    missing = [family.name for family in FAMILIES if f"`{family.name}" not in told]
    assert missing == []
