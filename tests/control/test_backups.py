"""What the control plane wants of backups and restorations, and what it makes of what it sees."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from control.fake_engine import World
from control.planes import NEW, Running, running_plane, until
from control.test_lifecycle import is_password

from howdah.domain.backups import BackupKind, BaseBackup, RestoreSource
from howdah.domain.routes import RouteState
from howdah.domain.services import Service, ServiceChange
from howdah.domain.states import RESTORING, ServiceState
from howdah.domain.tags import RETENTION, Tag

TARGET = datetime(2024, 3, 4, 20, 30, 15, 250_001, tzinfo=UTC)
TAKEN = datetime(2024, 3, 4, 5, 6, 7, tzinfo=UTC)


def base(number: int, *, request: int) -> BaseBackup:
    started = TAKEN + timedelta(hours=number)
    return BaseBackup(
        name=f"{started:%Y%m%dT%H%M%S.%fZ}-full",
        kind=BackupKind.FULL,
        parent=None,
        postgres="17.10.0",
        system_identifier=7,
        started_at=started,
        finished_at=started + timedelta(minutes=1),
        start_lsn="0/2000028",
        stop_lsn="0/2000100",
        wal_timeline=1,
        stored_bytes=1,
        data_bytes=1,
        files={},
        tablespaces={},
        request=request,
    )


async def run_one(running: Running) -> Service:
    service = await running.plane.services.create(running.organization, NEW)
    await until("it runs", lambda: running.state_of(service.id) == "running")
    return service


async def restore(running: Running, source: Service, target: datetime | None = TARGET) -> Service:
    return await running.plane.backups.restore(running.organization, source.id, name="copy", target=target)


async def until_seen(running: Running, service: Service, state: ServiceState, reason: str | None) -> None:
    def seen() -> bool:
        found = running.plane.services.get(running.organization, service.id)
        return (found.state, found.state_reason) == (state, reason)

    await until(f"{state} ({reason})", seen)


async def test_a_restored_service_goes_through_its_states_held_at_the_router_until_it_runs(tmp_path: Path) -> None:
    world = World()
    async with running_plane(tmp_path / "s", world) as running:
        source = await run_one(running)
        world.restoring = RESTORING[0], "fetching"
        copy = await restore(running, source)
        assert copy.state is ServiceState.RESTORING_BACKUP
        for state in RESTORING:
            for doing in ("a half", "all but done"):
                world.restoring = state, doing
                await until_seen(running, copy, state, doing)
                route = running.route(copy.id)
                assert route is not None
                assert (route.state, route.names) == (RouteState.HELD, (copy.hostname,))
        world.restoring = None
        await until_seen(running, copy, ServiceState.RUNNING, None)
        opened = running.route(copy.id)
        assert opened is not None
        assert (opened.state, opened.servers) == (RouteState.OPEN, (("127.0.0.1", world.servers[copy.id].port),))
        assert is_password(source.password, world.servers[copy.id].verifier)
        assert copy.password == source.password
        assert world.servers[source.id].starts == 1


async def test_the_engine_is_told_what_to_restore_from_and_gives_the_new_service_a_timeline_of_its_own(
    tmp_path: Path,
) -> None:
    async with running_plane(tmp_path / "s") as running:
        source = await run_one(running)
        copies = [await restore(running, source, target) for target in (TARGET, None)]
        await until("they are seen", lambda: running.engine.specs.keys() >= {copy.id for copy in copies})
        specs = running.engine.specs
        timeline = specs[source.id].timeline
        assert timeline is not None
        assert specs[source.id].source is None
        assert [specs[copy.id].source for copy in copies] == [RestoreSource(timeline, at) for at in (TARGET, None)]
        assert len({spec.timeline for spec in specs.values()} - {None}) == 3


async def test_a_restoration_that_fails_is_unavailable_with_its_reason_until_it_goes_on(tmp_path: Path) -> None:
    world = World()
    async with running_plane(tmp_path / "s", world) as running:
        source = await run_one(running)
        world.restoring = RESTORING[0], "fetching"
        copy = await restore(running, source)
        world.broken[copy.id] = "the archive is out of reach"
        await until_seen(running, copy, ServiceState.UNAVAILABLE, "the archive is out of reach")
        del world.broken[copy.id]
        await until_seen(running, copy, ServiceState.RESTORING_BACKUP, "fetching")
        world.restoring = RESTORING[1], "replaying"
        await until_seen(running, copy, ServiceState.REPLAYING_WAL, "replaying")
        world.broken[copy.id] = "it does not start"
        await until_seen(running, copy, ServiceState.UNAVAILABLE, "it does not start")
        del world.broken[copy.id]
        world.restoring = None
        await until_seen(running, copy, ServiceState.RUNNING, None)


async def test_a_restoration_outlives_the_control_plane(tmp_path: Path) -> None:
    world = World()
    async with running_plane(tmp_path / "s", world) as running:
        source = await run_one(running)
        world.restoring = RESTORING[1], "replaying"
        copy = await restore(running, source)
        await until_seen(running, copy, ServiceState.REPLAYING_WAL, "replaying")
        told = running.engine.specs[copy.id]
    async with running_plane(tmp_path / "s", world) as running:
        await until_seen(running, copy, ServiceState.REPLAYING_WAL, "replaying")
        await until("it is looked at", lambda: copy.id in running.engine.specs)
        assert running.engine.specs[copy.id] == told
        world.restoring = None
        await until_seen(running, copy, ServiceState.RUNNING, None)


async def test_a_restart_of_a_service_that_is_being_restored_waits_for_that(tmp_path: Path) -> None:
    world = World()
    async with running_plane(tmp_path / "s", world) as running:
        source = await run_one(running)
        world.restoring = RESTORING[1], "replaying"
        copy = await restore(running, source)
        await until_seen(running, copy, ServiceState.REPLAYING_WAL, "replaying")
        restarted = await running.plane.services.restart(running.organization, copy.id)
        assert restarted.state is ServiceState.REPLAYING_WAL
        await until_seen(running, copy, ServiceState.REPLAYING_WAL, "replaying")
        world.restoring = None
        await until_seen(running, copy, ServiceState.RUNNING, None)
        assert world.servers[copy.id].restart == 1


async def test_a_service_that_is_being_restored_can_be_deleted(tmp_path: Path) -> None:
    world = World()
    async with running_plane(tmp_path / "s", world) as running:
        source = await run_one(running)
        world.restoring = RESTORING[0], "fetching"
        copy = await restore(running, source)
        await until_seen(running, copy, ServiceState.RESTORING_BACKUP, "fetching")
        await running.plane.services.delete(running.organization, copy.id)
        services = running.plane.services
        await until("gone", lambda: [one.id for one in services.list(running.organization)] == [source.id])
        assert world.servers.keys() == {source.id}


async def test_a_backup_is_asked_for_once_until_one_answers(tmp_path: Path) -> None:
    world = World(bases=[base(0, request=0)])
    async with running_plane(tmp_path / "s", world) as running:
        service = await run_one(running)

        async def ask() -> int:
            return await running.plane.backups.request(running.organization, service.id)

        def wanted() -> int:
            return running.engine.specs[service.id].backup

        assert wanted() == 0
        assert [await ask() for _ in range(3)] == [1, 1, 1]
        await until("the engine is told", lambda: wanted() == 1)
        world.bases.append(base(1, request=0))
        assert await ask() == 1
        world.bases.append(base(2, request=1))
        assert [await ask() for _ in range(3)] == [2, 2, 2]
        await until("the engine is told again", lambda: wanted() == 2)
    async with running_plane(tmp_path / "s", world) as running:
        assert await running.plane.backups.request(running.organization, service.id) == 2
        await until("the engine is told still", lambda: service.id in running.engine.specs)
        assert running.engine.specs[service.id].backup == 2


async def test_a_restored_service_has_asked_for_no_backup_of_its_own(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        source = await run_one(running)
        await running.plane.backups.request(running.organization, source.id)
        copy = await restore(running, source)
        await until("it is seen", lambda: copy.id in running.engine.specs)
        assert running.engine.specs[copy.id].backup == 0


async def test_backups_stay_while_another_service_is_made_from_them(tmp_path: Path) -> None:
    """Also across a death of the control plane, and whoever is looked at first."""
    world = World()
    async with running_plane(tmp_path / "s", world) as running:
        source = await run_one(running)
        world.restoring = RESTORING[0], "fetching"
        copy = await restore(running, source)
        await until_seen(running, copy, RESTORING[0], "fetching")
        await running.plane.services.delete(running.organization, source.id)
        kept = f"its backups are needed until {copy.id.ubid} is restored or deleted"
        await until_seen(running, source, ServiceState.DELETING, kept)
        assert world.servers.keys() == {copy.id}, "its server has gone"
    async with running_plane(tmp_path / "s", world) as running:
        await until("it is looked at", lambda: running.engine.passes.get(copy.id, 0) > 0)
        assert running.state_of(source.id) == "deleting"
        assert world.forgotten == []
        world.restoring = None
        await until("the source is gone", lambda: len(running.plane.services.list(running.organization)) == 1)
        assert len(world.forgotten) == 1
        assert running.state_of(copy.id) == "running"


async def test_a_source_waits_no_more_for_a_copy_that_is_deleted(tmp_path: Path) -> None:
    world = World()
    async with running_plane(tmp_path / "s", world) as running:
        source = await run_one(running)
        world.restoring = RESTORING[0], "fetching"
        copy = await restore(running, source)
        await running.plane.services.delete(running.organization, source.id)
        await running.plane.services.delete(running.organization, copy.id)
        await until("both are gone", lambda: running.plane.services.list(running.organization) == [])


async def test_the_tag_says_how_long_a_service_is_kept_else_its_organization_else_nobody(tmp_path: Path) -> None:
    async with running_plane(tmp_path / "s") as running:
        services, organization = running.plane.services, running.organization
        plain = await run_one(running)
        tagged = await services.create(organization, replace(NEW, tags=(Tag(RETENTION, "3"),)))

        async def told(*days: int | None) -> None:
            for service in (plain, tagged):
                running.plane.services.wake(service.id)
            await until(
                f"the engine is told {days}",
                lambda: (
                    [spec.retention_days for one in (plain, tagged) if (spec := running.engine.specs.get(one.id))]
                    == list(days)
                ),
            )

        await told(None, 3)
        await running.plane.access.set_retention(organization, 30)
        await told(30, 3)
        await services.change(organization, tagged.id, ServiceChange(tags=()))
        await told(30, 30)
        await running.plane.access.set_retention(organization, None)
        await told(None, None)
