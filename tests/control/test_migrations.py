"""A store that an older Howdah wrote, in the hands of this one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from control.fake_engine import World
from control.planes import NEW, Running, certified, running_plane, until
from sqlalchemy import create_engine

from howdah.domain.names import read_only
from howdah.domain.services import Service, ServiceChange
from howdah.store import migrate

TABLES = ("organizations", "api_keys", "services", "hostnames", "secrets", "instances")


def empty_store(path: Path, revision: str) -> None:
    """One as that schema version made it."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def write_back(store: Path, revision: str) -> None:
    """The same content as the Howdah of that schema version would have written it."""
    old = store.with_name("old.db")
    empty_store(old, revision)
    with sqlite3.connect(old) as connection:
        connection.execute("ATTACH ? AS new", (str(store),))
        for table in TABLES:
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
    connection.close()
    old.replace(store)
    for suffix in ("-wal", "-shm"):
        store.with_name(store.name + suffix).unlink(missing_ok=True)


def content(store: Path) -> dict[str, list[dict[str, object]]]:
    with sqlite3.connect(store) as connection:
        connection.row_factory = sqlite3.Row
        found = {table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")] for table in TABLES}
    connection.close()
    return found


def forget_certificates(found: dict[str, list[dict[str, object]]]) -> None:
    """They are issued again, since the old ones do not cover read-only names."""
    for service in found["services"]:
        del service["certificate"], service["certificate_renew_at"]
    found["secrets"] = [secret for secret in found["secrets"] if secret["kind"] != "certificate_key"]


def everything(running: Running) -> list[Service]:
    """All services with their passwords."""
    services = running.plane.services
    return [services.get(running.organization, one.id) for one in services.list(running.organization)]


async def test_services_of_a_store_from_before_backups_get_a_timeline_each_and_keep_all_they_had(
    tmp_path: Path,
) -> None:
    state, world = tmp_path / "s", World()
    async with running_plane(state, world) as running:
        services, organization = running.plane.services, running.organization
        for _ in range(5):
            await services.create(organization, NEW)
        await until("they run", lambda: all(one.state == "running" for one in services.list(organization)))
        renamed = services.list(organization)[2].id
        await services.change(organization, renamed, ServiceChange(name="renamed"))
        known = everything(running)
    write_back(state / "howdah.db", "0001")
    before = content(state / "howdah.db")
    assert "timeline" not in before["services"][0]

    async with running_plane(state, world) as running:
        assert everything(running) == known
        await until("all are seen", lambda: len(running.engine.specs) == 5)
        timelines = {spec.id: spec.timeline for spec in running.engine.specs.values()}
        assert len(set(timelines.values()) - {None}) == 5
        assert {(spec.source, spec.backup) for spec in running.engine.specs.values()} == {(None, 0)}
        assert [server.starts for server in world.servers.values()] == [1] * 5
        await until(
            "certificates cover the read-only names",
            lambda: all(read_only(one.hostname) in certified(running, one.id) for one in known),
        )
    after = content(state / "howdah.db")
    forget_certificates(before)
    forget_certificates(after)
    assert {
        table: [row | kept for row, kept in zip(after[table], before[table], strict=True)] for table in TABLES
    } == after
    assert [service["timeline"] for service in after["services"]] == [
        str(timeline.uuid) for service in known if (timeline := timelines[service.id]) is not None
    ]

    async with running_plane(state, world) as running:
        await until("all are seen", lambda: len(running.engine.specs) == 5)
        assert {spec.id: spec.timeline for spec in running.engine.specs.values()} == timelines
        copy = await running.plane.backups.restore(organization, known[0].id, name="copy", target=None)
        await until("a restored one runs, too", lambda: running.state_of(copy.id) == "running")
