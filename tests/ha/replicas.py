"""Read replicas for tests."""

from __future__ import annotations

from typing import Any

import psycopg
from fixtures.server import eventually

from ha.service import HaService, end


def replica_of(service: HaService, **fields: Any) -> HaService:
    made = service.server.call("POST", f"/{service.id}/readReplica", {"name": "reader"} | fields)
    assert (made["state"], made["isPrimary"]) == ("creating", False)
    return HaService(service.server, service.server.wait_until(made["id"], "running", within=90))


def shows(replica: HaService, query: str, expected: object) -> None:
    def found() -> bool:
        try:
            return replica.sql(query) == [(expected,)]
        except psycopg.errors.UndefinedTable:
            return False

    eventually(f"the replica shows {expected}", found, within=60)


def leave_behind(primary: HaService, replica: HaService) -> None:
    """It ends, and when it is back its primary has not any more what it needs."""
    (follower,) = replica.postmasters().values()
    end(follower)
    primary.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE '%pv%'")
    primary.sql("CREATE TABLE later AS SELECT generate_series(1, 200000) AS number")
    for _ in range(3):
        primary.sql("SELECT pg_switch_wal()")
        primary.sql("CHECKPOINT")
