"""With an archive and Postgres' own programs, a server comes back as it was at a moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fixtures.server import eventually

from backup.cluster import Cluster, discard, new_cluster
from howdah.backup.archive import TimelineArchive, open_archive
from howdah.backup.assemble import WAL, assemble, write_settings
from howdah.backup.errors import DamageError, NotRestorableError
from howdah.backup.packing import pack, unpack
from howdah.domain.ids import TimelineId
from howdah.domain.settings import BackupSettings
from howdah.domain.states import PostgresVersion

NEWEST_FIRST = pytest.mark.parametrize(
    "cluster",
    [PostgresVersion.V18, pytest.param(PostgresVersion.V17, marks=pytest.mark.long)],
    indirect=True,
)
"""For what is the same with both versions."""


@pytest.fixture(params=list(PostgresVersion))
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with new_cluster(request.param) as made:
        yield made


@pytest.fixture
def archive(tmp_path: Path) -> TimelineArchive:
    return open_archive(BackupSettings(), tmp_path).timeline(TimelineId.new())


def rows_at(
    cluster: Cluster, archive: TimelineArchive, target: datetime | None, into: Path, query: str
) -> list[tuple[Any, ...]]:
    """What ``query`` finds in what is restored."""
    write_settings(into, assemble(archive, target, into, cluster.programs).target)
    restored = cluster.restored(into)
    try:
        # At once: what summarizes WAL may not hear of an end for ten seconds.
        with restored.running(end="immediate"):
            eventually("it is promoted", lambda: restored.sql("SELECT pg_is_in_recovery()") == [(False,)])
            return restored.sql(query)
    finally:
        discard(restored)


@NEWEST_FIRST
def test_a_moment_comes_back_exactly(cluster: Cluster, archive: TimelineArchive, tmp_path: Path):
    with cluster.running(), cluster.receiving():
        cluster.sql("CREATE TABLE kept (n int)")
        first = cluster.back_up(archive)
        cluster.sql("INSERT INTO kept VALUES (1)")
        moment = cluster.now()
        cluster.sql("INSERT INTO kept VALUES (2)")
        cluster.sql("SELECT pg_switch_wal()")
        second = cluster.back_up(archive, parent=first)
        cluster.sql("INSERT INTO kept VALUES (3)")
        later = cluster.now()
        cluster.sql("DROP TABLE kept")
        cluster.received()
        cluster.collect(archive)
    query = "SELECT n FROM kept ORDER BY n"
    assert rows_at(cluster, archive, moment, tmp_path / "one", query) == [(1,)]
    assert second.parent == first.name
    assert rows_at(cluster, archive, later, tmp_path / "two", query) == [(1,), (2,), (3,)]
    assert rows_at(cluster, archive, None, tmp_path / "three", "SELECT to_regclass('kept')") == [(None,)]


@NEWEST_FIRST
def test_a_moment_after_the_last_commit_comes_back(cluster: Cluster, archive: TimelineArchive, tmp_path: Path):
    """Postgres by itself ends with "recovery ended before configured recovery target was reached"."""
    with cluster.running(), cluster.receiving():
        cluster.back_up(archive)
        cluster.sql("CREATE TABLE kept AS SELECT 1 n")
        moment = cluster.now()
        cluster.sql("SELECT pg_log_standby_snapshot()")
        cluster.received()
        cluster.collect(archive)
    assert rows_at(cluster, archive, moment, tmp_path / "idle", "SELECT n FROM kept") == [(1,)]


@NEWEST_FIRST
def test_what_else_a_server_holds_comes_back(cluster: Cluster, archive: TimelineArchive, tmp_path: Path):
    with cluster.running(), cluster.receiving():
        place = cluster.home / "elsewhere"
        cluster.sql(f"COPY (SELECT 1) TO PROGRAM 'mkdir -p {place}'")
        cluster.sql(f"CREATE TABLESPACE elsewhere LOCATION '{place}'")
        cluster.sql("CREATE TABLE placed TABLESPACE elsewhere AS SELECT 5 n")
        cluster.sql("CREATE DATABASE second")
        cluster.sql("CREATE TABLE there AS SELECT 6 n", database="second")
        cluster.back_up(archive)
        cluster.sql("INSERT INTO placed VALUES (7)")
        cluster.sql("SELECT lo_from_bytea(4711, 'large')")
        cluster.sql("CREATE UNLOGGED TABLE passing AS SELECT 8 n")
        cluster.sql("BEGIN; INSERT INTO placed VALUES (9); PREPARE TRANSACTION 'waiting'")
        cluster.received()
        cluster.collect(archive)
    query = """SELECT (SELECT array_agg(n) FROM placed), (SELECT count(*) FROM passing), lo_get(4711),
                      (SELECT array_agg(gid) FROM pg_prepared_xacts), pg_tablespace_location(oid)
               FROM pg_tablespace WHERE spcname = 'elsewhere'"""
    found = rows_at(cluster, archive, None, tmp_path / "all", query)
    assert found[0][:4] == ([5, 7], 0, b"large", ["waiting"])
    assert str(place) not in found[0][4]


@NEWEST_FIRST
@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_damage_leaves_nothing_behind(cluster: Cluster, archive: TimelineArchive, tmp_path: Path, damage: str):
    with cluster.running(), cluster.receiving():
        cluster.back_up(archive)
        cluster.sql("CREATE TABLE kept AS SELECT 1 n")
        for _ in range(3):
            cluster.sql("SELECT pg_switch_wal()")
            cluster.sql("INSERT INTO kept VALUES (2)")
        cluster.received()
        moment = cluster.now()
        cluster.sql("INSERT INTO kept VALUES (3)")
        cluster.received()
        cluster.collect(archive)
    victim = max((tmp_path / "archive" / archive.id.ubid / "wal").glob("????????????????????????.zst"))
    if damage == "missing":
        victim.unlink()
    else:
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 0xFF
        victim.write_bytes(content)
    with pytest.raises(DamageError, match=victim.name[:24]):
        assemble(archive, moment, tmp_path / "never", cluster.programs)
    assert not (tmp_path / "never").exists()
    assert not (tmp_path / "never.restoring").exists()


@pytest.mark.fault(
    what="A record of WAL in the archive cannot be read, in a segment from before a failover, switchover or promotion",
    then="What is later is not restored, and the restoration says so; moments before it are",
)
@NEWEST_FIRST
def test_a_record_that_cannot_be_read_before_the_timeline_changed_is_no_end(
    cluster: Cluster, archive: TimelineArchive, tmp_path: Path
):
    with cluster.running(), cluster.receiving():
        cluster.back_up(archive)
        cluster.sql("CREATE TABLE kept AS SELECT 1 n")
        before = cluster.now()
        cluster.sql("INSERT INTO kept VALUES (2)")
        cluster.sql("SELECT pg_switch_wal()")
        cluster.sql("INSERT INTO kept SELECT generate_series(3, 1000)")
        cluster.sql("SELECT pg_switch_wal()")
        cluster.received()
    cluster.promote()
    with cluster.running(), cluster.receiving():
        cluster.sql("INSERT INTO kept VALUES (1001)")
        cluster.received()
        cluster.collect(archive)
    assert rows_at(cluster, archive, None, tmp_path / "all", "SELECT count(*) FROM kept") == [(1001,)]
    wal = tmp_path / "archive" / archive.id.ubid / "wal"
    victim = max(wal.glob("00000001????????????????.zst"))
    content = bytearray(unpack(victim.read_bytes(), victim.name))
    content[len(bytes(content).rstrip(b"\0")) // 2] ^= 1
    victim.write_bytes(pack(bytes(content)))
    with pytest.raises(DamageError, match="cannot be read beyond"):
        assemble(archive, None, tmp_path / "never", cluster.programs)
    assert rows_at(cluster, archive, before, tmp_path / "before", "SELECT count(*) FROM kept") == [(1,)]


@NEWEST_FIRST
def test_a_directory_in_use_is_left_alone(cluster: Cluster, archive: TimelineArchive, tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/PG_VERSION").write_text("18")
    with pytest.raises(NotRestorableError, match="is not an empty directory"):
        assemble(archive, None, tmp_path / "data", cluster.programs)
    assert WAL not in [path.name for path in (tmp_path / "data").iterdir()]
