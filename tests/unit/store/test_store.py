from __future__ import annotations

import asyncio
import sqlite3
import stat
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from howdah.domain.catalog import default_catalog
from howdah.domain.deleted import DeletedService
from howdah.domain.errors import Conflict, SetupError, Unavailable
from howdah.domain.ids import InstanceId, ServiceId, TimelineId
from howdah.domain.instances import Instance
from howdah.domain.organizations import Organization
from howdah.domain.services import Service
from howdah.domain.states import HaType, PostgresVersion, ServiceState
from howdah.domain.tags import Tag
from howdah.store import deleted, hostnames, migrate, organizations, secrets, service_changes, services
from howdah.store.instances import StoredInstances
from howdah.store.services import StoredService
from howdah.store.store import Store
from howdah.store.tables import metadata

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path / "howdah.db") as opened:
        yield opened


async def add_service(store: Store) -> Service:
    organization = Organization(uuid4(), "o", NOW)
    size = default_catalog().size("aws", "us-west-2", "r8gd.large")
    service_id = ServiceId.new()
    service = Service(
        id=service_id,
        organization=organization.id,
        name="n",
        provider="aws",
        region="us-west-2",
        size=size,
        storage_gib=size.storage_gib,
        postgres_version=PostgresVersion.V18,
        ha_type=HaType.NONE,
        tags=(),
        hostname=f"n.{service_id}",
        is_primary=True,
        state=ServiceState.CREATING,
        state_reason=None,
        created_at=NOW,
        password="",
    )

    timeline = TimelineId.new()

    def write(connection: Connection) -> None:
        organizations.add(connection, organization)
        service_changes.add(connection, StoredService(service, "ca", "certificate", NOW, 0, 0, 1, None, timeline))
        hostnames.add(connection, service_id, service.hostname)
        secrets.put(connection, service_id, {"password": b"sealed-password-bytes"})

    await store.write(write)
    return service


def test_the_migrations_make_the_tables_that_the_code_knows(store: Store) -> None:
    with store._engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    assert scripts.get_current_head() == migrate.HEAD


def test_it_is_private_and_durable(store: Store) -> None:
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    pragmas = {
        name: store._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
    }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "busy_timeout": 5000,
    }


async def test_a_write_is_whole_or_not_at_all_and_seen_by_the_reads_that_follow(store: Store) -> None:
    def fails(connection: Connection) -> None:
        organizations.add(connection, Organization(uuid4(), "lost", NOW))
        raise RuntimeError("after the first statement")

    with pytest.raises(RuntimeError):
        await store.write(fails)
    assert organizations.everyone(store) == []
    organization = Organization(uuid4(), "kept", NOW)
    await store.write(lambda connection: organizations.add(connection, organization))
    assert organizations.find(store, organization.id) == organization


async def test_an_organization_keeps_how_long_its_services_can_be_restored(store: Store) -> None:
    one, other = (Organization(uuid4(), name, NOW, days) for name, days in (("one", None), ("other", 3)))
    for organization in (one, other):
        await store.write(lambda connection, new=organization: organizations.add(connection, new))
    await store.write(lambda connection: organizations.change(connection, replace(one, retention_days=30)))
    assert organizations.everyone(store) == [replace(one, retention_days=30), other]


async def test_a_service_comes_back_as_it_was_stored(store: Store) -> None:
    service = await add_service(store)
    found = services.find(store, service.id)
    assert found is not None
    assert found == StoredService(service, "ca", "certificate", NOW, 0, 0, 1, None, found.timeline)
    assert services.visible(store, service.organization, service.id) == (service, b"sealed-password-bytes")
    assert services.visible(store, uuid4(), service.id) is None
    assert services.of(store, service.organization) == [service]


async def test_a_deleted_service_comes_back_as_it_was_stored(store: Store) -> None:
    service = await add_service(store)

    def kept(days: int, earliest: datetime | None) -> DeletedService:
        return DeletedService(
            id=ServiceId.new(),
            timeline=TimelineId.new(),
            organization=service.organization,
            name="gone",
            provider=service.provider,
            region=service.region,
            size=service.size,
            storage_gib=service.storage_gib,
            postgres_version=service.postgres_version,
            tags=(Tag("a", "b"), Tag("c")),
            created_at=NOW,
            deleted_at=NOW + timedelta(days=days),
            keep_until=NOW + timedelta(days=days + 7),
            earliest_restore=earliest,
            problem="something" if earliest is None else None,
        )

    later, first = kept(2, NOW + timedelta(microseconds=1)), kept(1, None)
    for one in (later, first):
        await store.write(lambda connection, new=one: deleted.add(connection, new))
    assert deleted.everyone(store) == deleted.of(store, service.organization) == [first, later]
    assert (deleted.of(store, uuid4()), deleted.find(store, later.id)) == ([], later)

    def change(connection: Connection) -> None:
        deleted.set_earliest(connection, first.timeline, NOW)
        deleted.set_keep_until(connection, first.timeline, NOW)
        deleted.remove(connection, later.timeline)
        assert deleted.within(connection, later.id) is None

    await store.write(change)
    assert deleted.everyone(store) == [replace(first, earliest_restore=NOW, keep_until=NOW)]


async def test_reads_in_a_snapshot_see_one_state(store: Store) -> None:
    service = await add_service(store)

    def rename(connection: Connection) -> None:
        service_changes.set_name(connection, service.id, "renamed")

    with store.snapshot():
        assert services.of(store, service.organization)[0].name == "n"
        writing = threading.Thread(target=store._transact, args=[rename])
        writing.start()
        writing.join()
        assert services.of(store, service.organization)[0].name == "n"
    assert services.of(store, service.organization)[0].name == "renamed"


async def test_nothing_of_a_removed_service_stays_in_the_files(store: Store) -> None:
    service = await add_service(store)
    assert any(b"sealed-password-bytes" in file.read_bytes() for file in store.path.parent.iterdir())
    await store.write(lambda connection: service_changes.remove(connection, service.id))
    await store.forget()
    for file in store.path.parent.iterdir():
        content = file.read_bytes()
        assert b"sealed-password-bytes" not in content, file
        assert str(service.id.uuid).encode() not in content, file


async def test_a_service_has_one_current_hostname_and_a_hostname_one_service(store: Store) -> None:
    from sqlalchemy.exc import IntegrityError

    one, two = await add_service(store), await add_service(store)
    with pytest.raises(IntegrityError):
        await store.write(lambda connection: hostnames.add(connection, one.id, "second.current"))
    await store.write(lambda connection: hostnames.expire_current(connection, one.id, NOW))
    with pytest.raises(IntegrityError):
        await store.write(lambda connection: hostnames.add(connection, one.id, two.hostname))


async def test_a_port_and_a_uid_belong_to_one_instance(store: Store) -> None:
    service, registry = await add_service(store), StoredInstances(store)
    first = Instance(InstanceId.new(), service.id, 20_000, 270_000)
    await registry.put(first)
    await registry.put(first)
    for taken in ((20_000, 270_001), (20_001, 270_000)):
        with pytest.raises(Conflict):
            await registry.put(Instance(InstanceId.new(), service.id, *taken))
    with pytest.raises(Conflict):
        await registry.put(Instance(InstanceId.new(), ServiceId.new(), 20_002, None))
    moved = Instance(first.id, service.id, 20_003, None)
    await registry.put(moved)
    assert (registry.of(service.id), registry.all()) == ((moved,), (moved,))
    await registry.remove(first.id)
    assert registry.all() == ()


async def test_a_service_with_instances_cannot_be_removed(store: Store) -> None:
    from sqlalchemy.exc import IntegrityError

    service = await add_service(store)
    await StoredInstances(store).put(Instance(InstanceId.new(), service.id, 20_000, None))
    with pytest.raises(IntegrityError):
        await store.write(lambda connection: service_changes.remove(connection, service.id))


async def test_a_store_that_another_process_holds_is_unavailable(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store._connection.execute("PRAGMA busy_timeout = 50")
    holder = sqlite3.connect(store.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="the store cannot be written: database is locked; nothing was changed"):
        await store.write(lambda connection: organizations.add(connection, Organization(uuid4(), "x", NOW)))
    assert organizations.everyone(store) == []
    holder.execute("ROLLBACK")
    holder.close()
    await store.write(lambda connection: organizations.add(connection, Organization(uuid4(), "x", NOW)))
    assert len(organizations.everyone(store)) == 1


async def test_a_full_disk_is_unavailable_and_loses_nothing(store: Store) -> None:
    await store.write(lambda connection: organizations.add(connection, Organization(uuid4(), "x", NOW)))
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable, match="database or disk is full"):
        await store.write(lambda connection: connection.execute(text("CREATE TABLE more (x)")))
    store._connection.execute("PRAGMA max_page_count = 1000000")
    await store.write(lambda connection: organizations.add(connection, Organization(uuid4(), "y", NOW)))
    assert [found.name for found in organizations.everyone(store)] == ["x", "y"]


async def test_a_cancelled_write_leaves_the_store_usable(store: Store) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        started.set()
        go_on.wait(5)
        organizations.add(connection, Organization(uuid4(), "slow", NOW))

    writing = asyncio.create_task(store.write(slow))
    await asyncio.to_thread(started.wait, 5)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    go_on.set()
    await store.write(lambda connection: organizations.add(connection, Organization(uuid4(), "next", NOW)))
    assert [found.name for found in organizations.everyone(store)] == ["slow", "next"]


@pytest.mark.parametrize("damage", [b"this is not a database at all" * 200, b""])
def test_a_file_that_is_no_store_is_refused_and_an_empty_one_is_new(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "howdah.db"
    path.write_bytes(damage)
    if damage:
        with pytest.raises(SetupError, match=f"the store {path} cannot be opened: file is not a database"):
            Store(path)
    else:
        Store(path).close()


async def test_a_damaged_page_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "howdah.db"
    with Store(path) as store:
        await add_service(store)
        await store.forget()
        page_size = store._connection.execute("PRAGMA page_size").fetchone()[0]
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    content = bytearray(path.read_bytes())
    for page in range(1, pages):
        content[page * page_size : page * page_size + 100] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(SetupError, match=r"is damaged|cannot be opened"):
        Store(path)


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "howdah.db"
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(SetupError, match=r"was written by a newer Howdah \(schema 9999"):
        Store(path)


def test_a_directory_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be opened: No such file or directory"):
        Store(tmp_path / "missing" / "howdah.db")


def test_two_processes_may_make_the_store_at_once(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = "import sys; from pathlib import Path; from howdah.store.store import Store; Store(Path(sys.argv[1]))"
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "howdah.db")], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()
    Store(tmp_path / "howdah.db").close()
