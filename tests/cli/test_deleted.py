"""Deleted services whose backups are kept, by the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import psycopg
from cli.test_backups import result
from fixtures.command import howdah
from fixtures.server import Server, eventually


def query(connection: str, sql: str) -> object:
    with psycopg.connect(connection, autocommit=True) as session:
        cursor = session.execute(sql)  # type: ignore[call-overload]
        return cursor.fetchall()[0][0] if cursor.description else None


def test_a_deleted_service_is_listed_restored_and_purged(new_server: Callable[..., Server]) -> None:
    keeping = {"HOWDAH_BACKUP_ARCHIVE": "", "HOWDAH_BACKUP_KEEP_AFTER_DELETE_DAYS": "2"}
    server = new_server(env=keeping)
    assert "no deleted services are kept" in howdah("backups", "deleted", state=server.state).stderr
    service = server.running(name="shop")
    query(service["connectionString"], "CREATE TABLE orders AS SELECT 1 AS n")
    gone = howdah("services", "delete", "shop", "--yes", "--wait", state=server.state)
    assert gone.returncode == 0, gone.stderr

    (kept,) = result(server, "backups", "deleted")
    assert (kept["id"], kept["name"], kept["problem"]) == (service["id"], "shop", None)
    head, row = howdah("backups", "deleted", state=server.state).stdout.splitlines()
    names = ["ID", "NAME", "POSTGRES", "SIZE", "DELETED", "KEPT UNTIL", "STORED", "RESTORABLE SINCE"]
    assert re.split(r" {2,}", head) == names
    *what, stored, since = re.split(r" {2,}", row)
    assert what == [kept[field] for field in ("id", "name", "postgresVersion", "size", "deletedAt", "keepUntil")]
    assert since == kept["earliestRestoreTime"]
    assert kept["storedBytes"] > 1 << 20
    assert stored == f"{kept['storedBytes'] / (1 << 20):.1f} MiB"

    for where in (["shop"], [service["id"]]):
        refused = howdah("services", "restore", *where, "--name", "x", state=server.state)
        assert refused.returncode == 1
    made = result(server, "services", "restore", "shop", "--deleted", "--name", "back", "--tag", "a=b")
    assert (made["name"], made["state"], made["tags"]) == ("back", "running", [{"key": "a", "value": "b"}])
    assert made["password"] != service["password"]
    assert query(made["connectionString"], "SELECT n FROM orders") == 1

    wrong = howdah("backups", "purge", "back", state=server.state)
    assert wrong.stderr == "howdah: there is no deleted service 'back'; there are: shop\n"
    purged = howdah("backups", "purge", "shop", "--json", state=server.state)
    assert json.loads(purged.stdout) == {"id": service["id"], "purged": True}
    again = howdah("backups", "purge", service["id"], state=server.state)
    said = f"howdah: there is no deleted Postgres service {service['id']} whose backups are kept\n"
    assert (again.returncode, again.stderr) == (1, said)
    assert result(server, "backups", "deleted") == []
    eventually("its archive is gone", lambda: len(list((server.state / "archive").glob("*/"))) == 1)
