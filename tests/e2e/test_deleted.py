"""A service that is deleted, and comes back with all that it had committed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from e2e.test_backups import now, restorable, sql
from fixtures.server import Server, eventually

from howdah.cli.processes import receivers

KEEPING = {"HOWDAH_BACKUP_ARCHIVE": "", "HOWDAH_BACKUP_KEEP_AFTER_DELETE_DAYS": "1"}
VERSIONS = ["17", pytest.param("18", marks=pytest.mark.long)]


class Writer:
    """Commits rows one after another until its service ends; ``acknowledged``: the last one."""

    def __init__(self, service: dict[str, Any]) -> None:
        self.acknowledged = 0
        self._string = service["connectionString"]
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        with suppress(psycopg.Error), psycopg.connect(self._string, autocommit=True, connect_timeout=10) as connection:
            while True:
                connection.execute("INSERT INTO kept VALUES (%s)", [self.acknowledged + 1])
                self.acknowledged += 1

    def end(self) -> int:
        self._thread.join()
        return self.acknowledged


def deleted(server: Server) -> list[dict[str, Any]]:
    return server.client.get("/v1/howdah/deleted").json()["result"]


def restored(server: Server, service: str, target: str) -> dict[str, Any]:
    body = {"name": "back", "restoreTarget": target}
    answer = server.client.post(f"/v1/howdah/deleted/{service}/restoredService", json=body)
    assert answer.status_code == 200, answer.text
    return server.wait_until(answer.json()["result"]["id"], "running", within=120)


def numbers(service: dict[str, Any]) -> list[int]:
    return [row[0] for row in sql(service, "SELECT n FROM kept ORDER BY n")]


def only_its_archive_is_left(server: Server, service: str) -> None:
    assert not (server.state / "services" / service).exists()
    assert list((server.state / "spool").glob("*")) == []
    assert receivers(server.state) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_deleted_service_comes_back_with_its_last_commit_or_as_it_was_before(
    new_server: Callable[..., Server], version: str
):
    server = new_server(env=KEEPING)
    source = server.running(postgresVersion=version, tags=[{"key": "team", "value": "db"}])
    restorable(server, source["id"])
    sql(source, "CREATE TABLE kept AS SELECT 0 AS n")
    before = now(source)
    writer = Writer(source)
    eventually("it writes", lambda: writer.acknowledged > 50)
    server.call("DELETE", f"/{source['id']}")
    server.wait_until_gone(source["id"])
    last = writer.end()

    only_its_archive_is_left(server, source["id"])
    (kept,) = deleted(server)
    assert (kept["id"], kept["postgresVersion"], kept["problem"]) == (source["id"], version, None)
    latest = restored(server, source["id"], "latest")
    # One more may have been committed without being acknowledged.
    assert numbers(latest) in (list(range(last + 1)), list(range(last + 2)))
    assert latest["password"] != source["password"]
    assert (latest["size"], latest["tags"]) == (source["size"], source["tags"])
    assert numbers(restored(server, source["id"], kept["deletedAt"])) == numbers(latest)
    earlier = restored(server, source["id"], before)
    assert numbers(earlier) == [0]

    for service in server.call("GET", ""):
        server.call("DELETE", f"/{service['id']}")
        server.wait_until_gone(service["id"])
    for one in deleted(server):
        assert server.client.delete(f"/v1/howdah/deleted/{one['id']}").status_code == 200
    eventually("nothing is left at all", lambda: list((server.state / "archive").glob("*/")) == [])
    assert deleted(server) == []


@pytest.mark.long
@pytest.mark.fault(
    what="The control plane is killed, again and again, while it deletes a service whose backups are kept",
    then="The deletion goes on; nothing but the archive is left, and all that was committed is restored from it",
)
@pytest.mark.parametrize("version", VERSIONS)
def test_howdah_may_die_while_it_deletes(new_server: Callable[..., Server], version: str):
    server = new_server(env=KEEPING)
    source = server.running(postgresVersion=version)
    restorable(server, source["id"])
    sql(source, "CREATE TABLE kept AS SELECT 0 AS n")
    writer = Writer(source)
    eventually("it writes", lambda: writer.acknowledged > 50)
    server.call("DELETE", f"/{source['id']}")
    for pause in (0.0, 0.1, 0.3, 0.6):
        time.sleep(pause)  # at another moment of the deletion each time
        server.kill()
        server.start()
    server.wait_until_gone(source["id"])
    last = writer.end()
    only_its_archive_is_left(server, source["id"])
    assert [kept["problem"] for kept in deleted(server)] == [None], server.log
    assert numbers(restored(server, source["id"], "latest")) in (list(range(last + 1)), list(range(last + 2)))


@pytest.mark.long
@pytest.mark.fault(
    what="The archive is out of reach while a service is deleted whose backups are kept",
    then="The service goes all the same; its last WAL is archived when the archive is back, and is restored from it",
)
def test_an_archive_that_is_out_of_reach_gets_the_rest_when_it_is_back(new_server: Callable[..., Server]):
    server = new_server(env=KEEPING)
    source = server.running()
    restorable(server, source["id"])
    sql(source, "CREATE TABLE kept AS SELECT 0 AS n")
    archive: Path = server.state / "archive"
    archive.rename(aside := server.state / "aside")
    archive.write_text("in the way")
    sql(source, "INSERT INTO kept VALUES (1)")
    server.call("DELETE", f"/{source['id']}")
    server.wait_until_gone(source["id"], within=120)
    assert not (server.state / "services" / source["id"]).exists()
    (kept,) = deleted(server)
    assert kept["earliestRestoreTime"] is None
    body = {"name": "back", "restoreTarget": "latest"}

    def asked() -> httpx.Response:
        return server.client.post(f"/v1/howdah/deleted/{source['id']}/restoredService", json=body)

    assert asked().status_code == 503
    archive.unlink()
    aside.rename(archive)
    answer = asked()
    assert answer.status_code == 200, answer.text
    assert numbers(server.wait_until(answer.json()["result"]["id"], "running", within=120)) == [0, 1]
