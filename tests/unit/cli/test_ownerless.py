"""What doctor finds that belongs to nothing in the store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Connection

from howdah.cli.checks.finding import Finding
from howdah.cli.checks.ownerless import check_ownerless
from howdah.control.paths import store_file
from howdah.domain.catalog import default_catalog
from howdah.domain.deleted import DeletedService
from howdah.domain.ids import InstanceId, ServiceId, TimelineId
from howdah.domain.organizations import Organization
from howdah.domain.settings import BackupSettings, Settings
from howdah.domain.states import PostgresVersion
from howdah.store import deleted, organizations
from howdah.store.store import Store

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    with Store(store_file(tmp_path)):
        return tmp_path


def found(state: Path, archive: str = "") -> list[Finding]:
    return list(check_ownerless(Settings(state=state, backup=BackupSettings(archive=archive))))


async def keep(state: Path, timeline: TimelineId) -> None:
    organization = Organization(uuid4(), "o", NOW)
    size = default_catalog().size("aws", "us-west-2", "r8gd.large")
    ids = (ServiceId.new(), timeline, organization.id)
    what = ("gone", "aws", "us-west-2", size, size.storage_gib, PostgresVersion.V17, ())

    def write(connection: Connection) -> None:
        organizations.add(connection, organization)
        deleted.add(connection, DeletedService(*ids, *what, NOW, NOW, NOW, None))

    with Store(store_file(state)) as store:
        await store.write(write)


def test_without_a_store_or_with_nothing_strange_there_is_nothing_to_say(tmp_path: Path, state: Path) -> None:
    assert found(tmp_path / "none") == []
    assert found(state) == []
    assert not (state / "archive").exists(), "looking makes nothing"


async def test_backups_of_a_deleted_service_that_are_kept_are_no_strangers(state: Path) -> None:
    kept, strange = TimelineId.new(), TimelineId.new()
    for timeline in (kept, strange):
        (state / "archive" / timeline.ubid / "wal").mkdir(parents=True)
        (state / "archive" / timeline.ubid / "timeline.json").write_text("{}")
    await keep(state, kept)
    (finding,) = found(state)
    assert finding.said == f"backups of 1 service that the store does not know: {strange.ubid}"
    assert f"howdah restore --archive {state / 'archive'} --timeline ID DIR" in finding.advice
    assert found(state, archive="off") == []


def test_a_data_directory_that_was_used_is_named_and_what_never_was_is_not(state: Path) -> None:
    service, used, unused, trash = ServiceId.new().ubid, *(InstanceId.new().ubid for _ in range(3))
    for home in (used, f"trash-{trash}"):
        (state / "services" / service / home / "conf").mkdir(parents=True)
        (state / "services" / service / home / "conf" / "initialised.json").write_text("{}")
    (state / "services" / service / unused / "conf").mkdir(parents=True)
    (finding,) = found(state)
    home = state / "services" / service / used
    assert finding.said == f"{home} has data of {service} that the store does not know; its server does not run"
    assert finding.advice.endswith(f"rm -r {home}")


def test_a_store_elsewhere_is_not_asked_without_a_key(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    assert found(state, archive="s3://bucket/prefix") == []
