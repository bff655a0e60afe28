"""Backups as users have them: by default, through the API, with psql."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from fixtures.object_store import SECRET, ObjectStore
from fixtures.server import Server, alive, eventually

from howdah.cli.processes import receivers, routers, servers

BY_DEFAULT = {"HOWDAH_BACKUP_ARCHIVE": ""}


def sql(service: dict[str, Any], query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(service["connectionString"], autocommit=True, connect_timeout=10) as connection:
        cursor = connection.execute(query)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def now(service: dict[str, Any]) -> str:
    """The moment, as the service sees it, in the form of restoreTarget."""
    return sql(service, "SELECT clock_timestamp()")[0][0].astimezone(UTC).isoformat(timespec="microseconds")


def restorable(server: Server, service: str) -> dict[str, Any]:
    def known() -> dict[str, Any] | None:
        found = server.get(service)
        return found if "earliestRestoreTime" in found else None

    return eventually(f"{service} can be restored", known, within=60)


def restored(server: Server, service: str, target: str, **fields: Any) -> dict[str, Any]:
    made = server.call("POST", f"/{service}/restoredService", {"name": "rescued", "restoreTarget": target} | fields)
    assert made["state"] == "restoring_backup"
    return server.wait_until(made["id"], "running", within=120)


def archive_of(server: Server, service: str) -> dict[str, Any]:
    return server.client.get(f"/v1/howdah/services/{service}/backups").json()["result"]


def test_a_dropped_table_comes_back_in_a_service_of_its_own(new_server: Callable[..., Server]):
    server = new_server(env=BY_DEFAULT)
    source = server.running(tags=[{"key": "team", "value": "db"}])
    restorable(server, source["id"])
    sql(source, "CREATE TABLE customers AS SELECT 'Ada' AS name")
    before = now(source)
    sql(source, "DROP TABLE customers")

    rescued = restored(server, source["id"], before)

    assert sql(rescued, "SELECT name FROM customers") == [("Ada",)]
    assert rescued["password"] == source["password"]
    assert rescued["hostname"] != source["hostname"]
    assert (rescued["size"], rescued["tags"]) == (source["size"], source["tags"])
    operation = server.client.get(f"/v1/howdah/services/{rescued['id']}/operations").json()["result"][0]
    assert (operation["operation"], operation["status"]) == ("restore", "succeeded")
    assert sql(source, "SELECT to_regclass('customers')") == [(None,)]

    server.call("DELETE", f"/{source['id']}")
    server.wait_until_gone(source["id"])
    assert sql(rescued, "SELECT name FROM customers") == [("Ada",)], "it needs nothing of its source"
    server.call("DELETE", f"/{rescued['id']}")
    server.wait_until_gone(rescued["id"])
    for directory in ("archive", "spool", "pool/restored"):
        assert list((server.state / directory).glob("*/")) == []
    assert receivers(server.state) == []


@pytest.mark.long
def test_a_backup_on_demand_is_listed_with_what_it_is(new_server: Callable[..., Server]):
    server = new_server(env=BY_DEFAULT)
    source = server.running()
    restorable(server, source["id"])
    asked = server.client.post(f"/v1/howdah/services/{source['id']}/backups").json()["result"]["request"]

    def taken() -> list[dict[str, Any]]:
        return [base for base in archive_of(server, source["id"])["backups"] if base["request"] >= asked]

    (base,) = eventually("the backup is taken", taken, within=60)
    assert base["kind"] == "incremental"
    listed = server.client.get(f"{server.services}/{source['id']}/backups?limit=1").json()
    assert listed["result"] == [{key: base[key] for key in ("key", "lastModified", "status")}]
    rest = server.client.get(f"{server.services}/{source['id']}/backups?cursor={listed['nextCursor']}").json()
    assert [one["key"] for one in rest["result"]] == [base["parent"]]
    assert "nextCursor" not in rest


@pytest.mark.long
def test_an_object_store_that_is_away_for_a_while_costs_nothing_but_time(
    new_server: Callable[..., Server], object_store: ObjectStore
):
    server = new_server(env=object_store.environment)
    source = server.running(postgresVersion="18")
    restorable(server, source["id"])
    sql(source, "CREATE TABLE kept AS SELECT 1 AS n")
    with object_store.away():
        sql(source, "INSERT INTO kept VALUES (2)")
        answer = server.client.post(
            f"{server.services}/{source['id']}/restoredService", json={"name": "rescued", "restoreTarget": "latest"}
        )
        assert answer.status_code == 503
        assert server.get(source["id"])["state"] == "running"
        sql(source, "INSERT INTO kept VALUES (3)")
    rescued = restored(server, source["id"], "latest")
    assert sql(rescued, "SELECT n FROM kept ORDER BY n") == [(1,), (2,), (3,)]
    for service in (rescued, source):
        server.call("DELETE", f"/{service['id']}")
        server.wait_until_gone(service["id"])
    assert "<Contents>" not in object_store.listing()
    assert SECRET not in server.log


@pytest.mark.long
def test_howdah_may_die_while_it_restores(new_server: Callable[..., Server]):
    server = new_server(env=BY_DEFAULT)
    source = server.running()
    restorable(server, source["id"])
    sql(source, "CREATE TABLE kept AS SELECT generate_series(1, 100000) AS n")
    made = server.call("POST", f"/{source['id']}/restoredService", {"name": "rescued", "restoreTarget": "latest"})
    for pause in (0.1, 0.4, 0.8):
        time.sleep(pause)  # at another moment of the restoration each time
        server.kill()
        server.start()
    rescued = server.wait_until(made["id"], "running", within=120)
    assert sql(rescued, "SELECT count(*) FROM kept") == [(100_000,)]


@pytest.mark.long
@pytest.mark.parametrize("seconds", [15, pytest.param(300, marks=pytest.mark.timeout(1800))])
def test_whatever_is_killed_each_commit_is_restorable(new_server: Callable[..., Server], seconds: int):
    """kill -9 of every process involved at random moments, while rows are committed."""
    server = new_server(env=BY_DEFAULT)
    source = server.running()
    restorable(server, source["id"])
    sql(source, "CREATE TABLE kept (n int)")
    acknowledged: list[tuple[int, datetime]] = []
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            with (
                suppress(psycopg.Error),
                psycopg.connect(source["connectionString"], autocommit=True, connect_timeout=5) as connection,
            ):
                while not over.is_set():
                    number += 1
                    connection.execute("INSERT INTO kept VALUES (%s)", [number])
                    acknowledged.append((number, connection.execute("SELECT clock_timestamp()").fetchall()[0][0]))
                    time.sleep(0.005)

    writer = threading.Thread(target=write)
    writer.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(random.uniform(0.2, 1.5))
        kind = random.choice(["control plane", "receiver", "server", "router"])
        pids = {
            "receiver": receivers(server.state),
            "server": [one.pid for one in servers(server.state)],
            "router": routers(server.state),
        }.get(kind)
        if pids is None:
            server.kill()
            server.start()
            continue
        for pid in filter(alive, pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    over.set()
    writer.join()
    server.wait_until(source["id"], "running", within=120)

    number, moment = random.choice(acknowledged)
    rescued = restored(server, source["id"], moment.astimezone(UTC).isoformat(timespec="microseconds"))
    found = {row[0] for row in sql(rescued, "SELECT n FROM kept")}
    assert {one for one, at in acknowledged if at <= moment} - found == set()
    # A commit may have been done without being acknowledged, but none of later.
    assert found & {one for one, at in acknowledged if one > number} == set()
    everything = {row[0] for row in sql(restored(server, source["id"], "latest"), "SELECT n FROM kept")}
    assert {one for one, _ in acknowledged} - everything == set()
    assert archive_of(server, source["id"])["gaps"] == []
