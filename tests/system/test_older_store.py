"""An older copy of the store is put back while servers run: nothing is ended, nothing is made anew, all is said."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fixtures.command import howdah
from fixtures.server import Server, alive, eventually, kill_and_wait

ARCHIVED = {"HOWDAH_BACKUP_ARCHIVE": ""}


def sql(service: dict[str, Any], query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(service["connectionString"], autocommit=True, connect_timeout=10) as connection:
        cursor = connection.execute(query)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def copied(server: Server) -> Path:
    file = server.state.with_name("howdah.backup")
    made = howdah("system", "backup", str(file), state=server.state)
    assert made.returncode == 0, made.stderr
    return file


def put_back(server: Server, file: Path) -> None:
    """The control plane is killed, and another one started with the copy; all else runs on."""
    server.kill()
    done = howdah("system", "restore", str(file), state=server.state)
    assert done.returncode == 0, done.stderr
    server.start()


def restorable(server: Server, service: dict[str, Any]) -> None:
    eventually("it can be restored", lambda: "earliestRestoreTime" in server.get(service["id"]), within=60)


def findings(server: Server, check: str) -> list[dict[str, Any]]:
    ran = howdah("doctor", "--json", state=server.state, HOWDAH_API_PORT="0", HOWDAH_ROUTER_PORT="0")
    return [finding for finding in json.loads(ran.stdout) if finding["check"] == check]


def timelines(server: Server) -> dict[str, str]:
    """Those in the archive, by the service that each says it belongs to."""
    found = (server.state / "archive").glob("*/timeline.json")
    return {json.loads(file.read_text())["service"]: file.parent.name for file in found}


@pytest.mark.long
@pytest.mark.fault(
    what="An older copy of the store is put back; a service was created since",
    then="Its server runs on, its data and backups are kept, and doctor names it with what to do",
)
def test_a_service_created_since_runs_on_and_is_named_with_what_to_do(new_server: Callable[..., Server]) -> None:
    server = new_server(env=ARCHIVED)
    known = server.running(name="known")
    file = copied(server)
    made = server.running(name="made since")
    restorable(server, made)
    sql(made, "CREATE TABLE kept AS SELECT 42 AS n")
    postmaster, timeline = server.postmaster(made["id"]), timelines(server)[made["id"]]

    put_back(server, file)

    server.wait_until(known["id"], "running")
    assert server.client.get(f"{server.services}/{made['id']}").status_code == 404
    assert alive(postmaster)
    assert "a data directory belongs to no known instance; it is kept" in server.log
    (unknown,) = findings(server, "unknown data")
    assert unknown["level"] == "warn"
    said = f" has data of {made['id']} that the store does not know; its server runs (pid {postmaster})"
    assert unknown["said"].endswith(said)
    (archive,) = findings(server, "archive")
    assert archive["said"] == f"backups of 1 service that the store does not know: {timeline}"
    assert timelines(server)[made["id"]] == timeline

    dump = unknown["advice"].removeprefix("copy them into a service: ").partition("; then: ")[0]
    dumped = subprocess.run(shlex.split(dump), capture_output=True, text=True, check=False)
    assert dumped.returncode == 0, dumped.stderr
    assert "CREATE TABLE public.kept" in dumped.stdout
    assert "\n42\n" in dumped.stdout

    kill_and_wait(postmaster)
    (unknown,) = findings(server, "unknown data")
    assert unknown["said"].endswith("; its server does not run")
    assert list(server.state.glob(f"services/{made['id']}/*/data/PG_VERSION"))
    server.kill()
    server.start()
    assert list(server.state.glob(f"services/{made['id']}/*/data/PG_VERSION")), "a start deletes none of it"


@pytest.mark.fault(
    what="An older copy of the store is put back; a service was deleted since",
    then="It is unavailable and not made anew, empty; where its backups were kept it is restored from them",
)
def test_a_service_deleted_since_is_unavailable_and_comes_back_from_what_was_kept(
    new_server: Callable[..., Server],
) -> None:
    server = new_server(env=ARCHIVED | {"HOWDAH_BACKUP_KEEP_AFTER_DELETE_DAYS": "1"})
    kept, other = server.running(name="kept"), server.running(name="other")
    restorable(server, kept)
    sql(kept, "CREATE TABLE kept AS SELECT 42 AS n")
    file = copied(server)
    server.call("DELETE", f"/{kept['id']}")
    server.wait_until_gone(kept["id"])
    running = server.postmaster(other["id"])

    put_back(server, file)

    server.wait_until(kept["id"], "unavailable")
    reason = server.client.get(f"/v1/howdah/services/{kept['id']}").json()["result"]["reason"]
    assert reason == "its data directory and all around it are missing; what its backups have can be restored"
    assert not list(server.state.glob(f"services/{kept['id']}/*/data"))
    assert server.wait_until(other["id"], "running")["connectionString"] == other["connectionString"]
    assert server.postmaster(other["id"]) == running
    made = server.call("POST", f"/{kept['id']}/restoredService", {"name": "back", "restoreTarget": "latest"})
    back = server.wait_until(made["id"], "running", within=120)
    assert sql(back, "SELECT n FROM kept") == [(42,)]
    server.call("DELETE", f"/{kept['id']}")
    server.wait_until_gone(kept["id"])
    listed = server.client.get("/v1/howdah/deleted").json()["result"]
    assert [one["id"] for one in listed] == [kept["id"]], "what is restorable is kept again"
