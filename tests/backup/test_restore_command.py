"""``howdah restore`` needs an archive and nothing else: no store, no server, no state directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from fixtures.server import eventually
from moto.server import ThreadedMotoServer

from backup.cluster import Cluster, discard, new_cluster
from howdah.backup.archive import open_archive
from howdah.domain.ids import TimelineId
from howdah.domain.moments import text
from howdah.domain.settings import BackupSettings
from howdah.domain.states import PostgresVersion


@dataclass(frozen=True)
class Archived:
    """A cluster in an archive that has it alone; at ``moment`` its table held 1 only."""

    cluster: Cluster
    where: Path
    timeline: TimelineId
    moment: datetime


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archived]:
    where, timeline = tmp_path_factory.mktemp("archive"), TimelineId.new()
    archive = open_archive(BackupSettings(archive=str(where)), where).timeline(timeline)
    with new_cluster(PostgresVersion.V18) as cluster:
        with cluster.running(), cluster.receiving():
            cluster.back_up(archive)
            cluster.sql("CREATE TABLE kept AS SELECT 1 n")
            moment = cluster.now()
            cluster.sql("INSERT INTO kept VALUES (2)")
            cluster.received()
            cluster.collect(archive)
        yield Archived(cluster, where, timeline, moment)


def restore(*arguments: object, ended: int = 0, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``home``: an empty one, so that nothing of this machine's Howdah is used."""
    done = subprocess.run(
        [sys.executable, "-m", "howdah", "restore", *map(str, arguments)],
        env={"PATH": os.environ["PATH"], "HOME": str(home)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ended, done.stderr
    return done


def programs(archived: Archived) -> list[object]:
    return ["--programs", archived.cluster.programs.directory]


def test_a_data_directory_recovers_to_the_moment(archived: Archived, tmp_path: Path):
    into = tmp_path / "restored"
    asked = ["--archive", archived.where, "--timeline", archived.timeline.ubid, "--target", text(archived.moment)]
    said = json.loads(restore(*asked, *programs(archived), "--json", into, home=tmp_path).stdout)
    assert said["directory"] == str(into)
    assert said["target"] == text(archived.moment)
    assert len(said["backups"]) == 1
    restored = archived.cluster.restored(into)
    try:
        with restored.running():
            eventually("it is promoted", lambda: restored.sql("SELECT pg_is_in_recovery()") == [(False,)])
            assert restored.sql("SELECT n FROM kept") == [(1,)]
    finally:
        discard(restored)


def test_the_only_timeline_and_everything_are_what_is_meant_when_nothing_is_said(archived: Archived, tmp_path: Path):
    done = restore("--archive", archived.where, *programs(archived), tmp_path / "all", home=tmp_path)
    assert "recovers to latest when Postgres 18 starts in it" in done.stderr
    assert "recovery_target_time = ''\n" in (tmp_path / "all/postgresql.auto.conf").read_text()
    assert (tmp_path / "all/recovery.signal").exists()


def test_an_object_store_is_reached_with_the_credentials_of_the_environment(archived: Archived, tmp_path: Path):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        httpx.put(f"{url}/bucket").raise_for_status()
        for path in archived.where.rglob("*"):
            if path.is_file():
                key = path.relative_to(archived.where)
                httpx.put(f"{url}/bucket/fleet/{key}", content=path.read_bytes()).raise_for_status()
        asked = ["--archive", "s3://bucket/fleet", "--s3-endpoint", url, *programs(archived), tmp_path / "new"]
        credentials = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        restore(*asked, home=tmp_path, **credentials)
        assert (tmp_path / "new/recovery.signal").exists()
        asked[1] = "s3://missing/fleet"
        done = restore(*asked[:-1], tmp_path / "other", ended=1, home=tmp_path, **credentials)
        assert "howdah: " in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "yesterday"], "is no moment"),
        (["--target", "2026-11-25T09:30:00"], "is no moment"),
        (["--target", "2001-01-01T00:00:00Z"], "Restore target must be between "),
        (["--timeline", "pt"], "is no timeline's id"),
        (["--timeline", TimelineId.new().ubid], "there is no timeline "),
        (["--programs", "/nonexistent"], "has no pg_waldump that runs"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(
    archived: Archived, tmp_path: Path, arguments: list[object], said: str
):
    done = restore("--archive", archived.where, *arguments, tmp_path / "new", ended=1, home=tmp_path)
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_archive_that_is_not_there_is_not_made(tmp_path: Path):
    done = restore("--archive", tmp_path / "mistyped", tmp_path / "new", ended=1, home=tmp_path)
    assert "there is no archive in" in done.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_is_put_over_what_is_there(archived: Archived, tmp_path: Path):
    (into := tmp_path / "taken").mkdir()
    (into / "mine").write_text("data")
    done = restore("--archive", archived.where, *programs(archived), into, ended=1, home=tmp_path)
    assert "is not an empty directory" in done.stderr
    assert (into / "mine").read_text() == "data"
    done = restore("--archive", archived.where, *programs(archived), into / "mine", ended=1, home=tmp_path)
    assert "is not an empty directory" in done.stderr


def test_programs_of_another_version_are_refused(archived: Archived, tmp_path: Path):
    (fake := tmp_path / "bin").mkdir()
    (fake / "pg_waldump").write_text("#!/bin/sh\necho 'pg_waldump (PostgreSQL) 17.11'\n")
    (fake / "pg_waldump").chmod(0o755)
    asked = ["--archive", archived.where, "--programs", fake, tmp_path / "new"]
    assert "the backup needs those of Postgres 18" in restore(*asked, ended=1, home=tmp_path).stderr
    assert not (tmp_path / "new").exists()
