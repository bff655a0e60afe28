"""Services that are deleted and whose backups are kept: until when, for whom, and what becomes of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from control.fake_engine import World
from control.planes import NEW, Running, running_plane, until

from howdah.control import removals
from howdah.control.clock import utc_now
from howdah.domain.backups import RestoreSource, Window
from howdah.domain.errors import BadRequest, NotFound, Unavailable
from howdah.domain.ids import ServiceId
from howdah.domain.services import NewService, Service
from howdah.domain.settings import BackupSettings, Settings
from howdah.domain.states import PostgresVersion, ServiceState
from howdah.domain.tags import Tag

EARLIEST = datetime(2024, 3, 4, 6, 7, 8, 123_456, tzinfo=UTC)
OUTAGE = Unavailable("the archive is out of reach")
DAYS = 3


class Time:
    """A clock that tests put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


def restorable() -> World:
    return World(window=Window(EARLIEST, EARLIEST))


@asynccontextmanager
async def keeping(
    tmp_path: Path, world: World, clock: Time | None = None, *, days: float = DAYS, archive: str = ""
) -> AsyncGenerator[Running]:
    backup = BackupSettings(archive=archive, keep_after_delete_days=days)
    settings = Settings(state=tmp_path / "s", backup=backup)
    async with running_plane(tmp_path / "s", world, settings=settings, clock=clock or Time()) as running:
        yield running


async def deleted(running: Running, new: NewService = NEW) -> Service:
    """One that ran and is gone."""
    service = await running.plane.services.create(running.organization, new)
    await until("it runs", lambda: running.state_of(service.id) == "running")
    await running.plane.services.delete(running.organization, service.id)
    await until("it is gone", lambda: is_gone(running, service.id))
    return service


def is_gone(running: Running, service: ServiceId) -> bool:
    try:
        running.plane.services.get(running.organization, service)
    except NotFound:
        return True
    return False


def rows(running: Running) -> int:
    with sqlite3.connect(running.state / "howdah.db") as store:
        count = store.execute("SELECT count(*) FROM deleted_services").fetchone()[0]
    store.close()
    return count


async def test_what_is_kept_is_what_a_new_service_needs_and_no_secret(tmp_path: Path) -> None:
    world, clock = restorable(), Time()
    async with keeping(tmp_path, world, clock) as running:
        wanted = replace(NEW, postgres_version=PostgresVersion.V18, tags=(Tag("team", "db"),))
        service = await deleted(running, wanted)
        (kept,) = running.plane.deleted.list(running.organization)
        assert (kept.id, kept.name, kept.provider, kept.region) == (service.id, NEW.name, NEW.provider, NEW.region)
        assert (kept.size, kept.storage_gib) == (service.size, service.storage_gib)
        assert (kept.postgres_version, kept.tags) == (PostgresVersion.V18, service.tags)
        assert kept.created_at == service.created_at
        assert service.created_at <= kept.deleted_at <= clock()
        assert kept.keep_until == kept.deleted_at + timedelta(days=DAYS)
        assert (kept.earliest_restore, kept.problem) == (EARLIEST, None)
        assert (world.kept, world.forgotten) == ([kept.timeline], [])
        assert running.plane.deleted.get(running.organization, service.id) == kept
        assert service.password.encode() not in (running.state / "howdah.db").read_bytes()


@pytest.mark.parametrize(("days", "archive"), [(0, ""), (DAYS, "off")])
async def test_by_default_and_without_backups_nothing_is_kept(tmp_path: Path, days: float, archive: str) -> None:
    world = restorable()
    async with keeping(tmp_path, world, days=days, archive=archive) as running:
        await deleted(running)
        assert running.plane.deleted.list(running.organization) == []
        assert (len(world.kept), len(world.forgotten)) == (0, 1)


async def test_where_nothing_can_be_restored_nothing_is_kept(tmp_path: Path) -> None:
    world = World()
    async with keeping(tmp_path, world) as running:
        await deleted(running)
        assert running.plane.deleted.list(running.organization) == []
        assert world.forgotten == world.kept


async def test_a_deletion_says_what_it_waits_for_and_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = replace(restorable(), concluding="its last WAL is received")
    async with keeping(tmp_path, world) as running:
        service = await running.plane.services.create(running.organization, NEW)
        await until("it runs", lambda: running.state_of(service.id) == "running")
        await running.plane.services.delete(running.organization, service.id)

        def says() -> bool:
            found = running.plane.services.get(running.organization, service.id)
            said = "its backups are kept: its last WAL is received"
            return (found.state, found.state_reason) == (ServiceState.DELETING, said)

        await until("it says so", says)
        assert world.servers[service.id].up
        monkeypatch.setattr(removals, "CONCLUDE_SECONDS", 0.0)
        await until("it is gone", lambda: is_gone(running, service.id))
        assert world.hurried == {service.id}
        kept = running.plane.deleted.get(running.organization, service.id)
        assert kept.problem == removals.INCOMPLETE


async def test_with_the_archive_out_of_reach_a_service_goes_and_its_backups_are_made_whole_later(
    tmp_path: Path,
) -> None:
    world = restorable()
    world.outage = OUTAGE
    async with keeping(tmp_path, world) as running:
        service = await deleted(running)
        assert running.plane.deleted.get(running.organization, service.id).earliest_restore is None
        with pytest.raises(Unavailable, match="out of reach"):
            await running.plane.deleted.restore(running.organization, service.id, name="x", target=None)
        await running.plane.deleted.sweep()
        assert running.plane.deleted.get(running.organization, service.id).earliest_restore is None
        world.outage = None
        await running.plane.deleted.sweep()
        assert running.plane.deleted.get(running.organization, service.id).earliest_restore == EARLIEST
        await running.plane.deleted.sweep()
        assert len(world.kept) == 1, "an archive that has all is left alone"


async def test_what_turns_out_to_be_of_no_use_goes_when_the_archive_is_back(tmp_path: Path) -> None:
    world = World()
    world.outage = OUTAGE
    async with keeping(tmp_path, world) as running:
        await deleted(running)
        assert len(running.plane.deleted.list(running.organization)) == 1
        world.outage = None
        await running.plane.deleted.sweep()
        assert (rows(running), world.forgotten) == (0, world.kept)


async def test_when_its_time_is_over_nothing_is_left(tmp_path: Path) -> None:
    world, clock = restorable(), Time()
    async with keeping(tmp_path, world, clock) as running:
        service = await deleted(running)
        clock.ahead = timedelta(days=DAYS, seconds=-10)
        await running.plane.deleted.sweep()
        assert (len(running.plane.deleted.list(running.organization)), world.forgotten) == (1, [])
        clock.ahead = timedelta(days=DAYS, seconds=10)
        assert running.plane.deleted.list(running.organization) == []
        with pytest.raises(NotFound):
            running.plane.deleted.get(running.organization, service.id)
        world.outage = OUTAGE
        await running.plane.deleted.sweep()
        assert (rows(running), world.forgotten) == (1, []), "it is known until all of it is gone"
        world.outage = None
        await running.plane.deleted.sweep()
        assert (rows(running), world.forgotten) == (0, world.kept)


async def test_a_restored_service_is_a_new_one_with_a_new_password(tmp_path: Path) -> None:
    world = restorable()
    world.restoring = ServiceState.RESTORING_BACKUP, "fetching"
    async with keeping(tmp_path, world) as running:
        source = await deleted(running, replace(NEW, tags=(Tag("team", "db"),)))
        kept = running.plane.deleted.get(running.organization, source.id)
        copy = await running.plane.deleted.restore(
            running.organization, source.id, name=" back ", target=kept.deleted_at
        )
        expected = replace(
            source,
            id=copy.id,
            name="back",
            hostname=copy.hostname,
            password=copy.password,
            created_at=copy.created_at,
            state=ServiceState.RESTORING_BACKUP,
        )
        assert copy == expected
        assert copy.id != source.id
        assert copy.password != source.password
        assert copy.hostname.startswith("back-")
        stored = running.plane.services.stored(running.organization, copy.id)
        assert stored.source == RestoreSource(kept.timeline, kept.deleted_at)
        assert stored.timeline != kept.timeline
        world.restoring = None
        await until("it runs", lambda: running.state_of(copy.id) == "running")
        again = await running.plane.deleted.restore(running.organization, source.id, name="b", target=None, tags=())
        assert again.tags == ()


async def test_a_moment_outside_of_its_life_is_refused(tmp_path: Path) -> None:
    async with keeping(tmp_path, restorable()) as running:
        service = await deleted(running)
        kept = running.plane.deleted.get(running.organization, service.id)
        for target in (EARLIEST - timedelta(microseconds=1), kept.deleted_at + timedelta(microseconds=1)):
            with pytest.raises(BadRequest, match=r"^Restore target must be between 2024-03-04T06:07:08.123456Z and 2"):
                await running.plane.deleted.restore(running.organization, service.id, name="x", target=target)
        with pytest.raises(BadRequest, match=r"^name"):
            await running.plane.deleted.restore(running.organization, service.id, name="", target=None)


async def test_what_is_being_restored_from_stays_until_that_is_over(tmp_path: Path) -> None:
    world = restorable()
    world.restoring = ServiceState.RESTORING_BACKUP, "fetching"
    async with keeping(tmp_path, world) as running:
        source = await deleted(running)
        copy = await running.plane.deleted.restore(running.organization, source.id, name="copy", target=None)
        await running.plane.deleted.purge(running.organization, source.id)
        with pytest.raises(NotFound):
            await running.plane.deleted.restore(running.organization, source.id, name="late", target=None)
        await running.plane.deleted.sweep()
        assert (rows(running), world.forgotten) == (1, [])
        world.restoring = None
        await until("it runs", lambda: running.state_of(copy.id) == "running")
        await running.plane.deleted.sweep()
        assert (rows(running), world.forgotten) == (0, world.kept[:1])


async def test_a_purge_between_the_look_and_the_restoration_has_it_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with keeping(tmp_path, restorable()) as running:
        source = await deleted(running)

        async def purged_meanwhile(*_: object) -> None:
            await running.plane.deleted.purge(running.organization, source.id)

        monkeypatch.setattr(running.engine, "restorable", purged_meanwhile)
        with pytest.raises(NotFound):
            await running.plane.deleted.restore(running.organization, source.id, name="late", target=None)
        assert running.plane.services.list(running.organization) == []


async def test_a_purge_is_done_at_once_and_only_once(tmp_path: Path) -> None:
    world = restorable()
    async with keeping(tmp_path, world) as running:
        one, other = await deleted(running), await deleted(running)
        await running.plane.deleted.purge(running.organization, one.id)
        await until("it is gone", lambda: rows(running) == 1)
        assert world.forgotten == world.kept[:1]
        with pytest.raises(NotFound):
            await running.plane.deleted.purge(running.organization, one.id)
        assert [kept.id for kept in running.plane.deleted.list(running.organization)] == [other.id]


async def test_another_organization_sees_nothing_of_it(tmp_path: Path) -> None:
    async with keeping(tmp_path, restorable()) as running:
        service, stranger = await deleted(running), uuid4()
        assert running.plane.deleted.list(stranger) == []
        for attempt in (
            running.plane.deleted.restore(stranger, service.id, name="x", target=None),
            running.plane.deleted.purge(stranger, service.id),
        ):
            with pytest.raises(NotFound):
                await attempt
        with pytest.raises(NotFound):
            running.plane.deleted.get(stranger, service.id)
        assert len(running.plane.deleted.list(running.organization)) == 1


async def test_while_backups_are_off_what_is_kept_stays(tmp_path: Path) -> None:
    world, clock = restorable(), Time()
    async with keeping(tmp_path, world, clock) as running:
        service = await deleted(running)
    clock.ahead = timedelta(days=DAYS - 1)
    async with keeping(tmp_path, world, clock, archive="off") as running:
        with pytest.raises(Unavailable, match="backups are off"):
            await running.plane.deleted.purge(running.organization, service.id)
        clock.ahead = timedelta(days=DAYS + 1)
        await running.plane.deleted.sweep()
        assert (rows(running), world.forgotten) == (1, [])


@pytest.mark.parametrize("call", ["conclude", "remove"])
async def test_a_deletion_that_is_interrupted_goes_on_at_the_next_start(tmp_path: Path, call: str) -> None:
    world, reached = restorable(), asyncio.Event()

    async def hang(made: str, service: ServiceId) -> None:
        if made == call:
            reached.set()
            await asyncio.Event().wait()

    backup = BackupSettings(keep_after_delete_days=DAYS)
    settings = Settings(state=tmp_path / "s", backup=backup)
    async with running_plane(tmp_path / "s", world, settings=settings, before=hang) as running:
        service = await running.plane.services.create(running.organization, NEW)
        await until("it runs", lambda: running.state_of(service.id) == "running")
        await running.plane.services.delete(running.organization, service.id)
        async with asyncio.timeout(10):
            await reached.wait()
    async with keeping(tmp_path, world) as running:
        await until("it is gone", lambda: is_gone(running, service.id))
        assert running.plane.deleted.get(running.organization, service.id).earliest_restore == EARLIEST
        assert world.servers == {}
