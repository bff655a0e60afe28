"""Metrics as a Prometheus gets them: over HTTP, of a real service, with a key that only reads."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from fixtures.server import Server, eventually
from prometheus_client.parser import text_string_to_metric_families

MIB = 1 << 20


def scrape(server: Server, service: str) -> dict[str, float]:
    """Values by name, and by the last label where there is one."""
    answer = server.client.get(f"{server.services}/{service}/prometheus")
    assert answer.status_code == 200, answer.text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            name, labels = sample.name.replace("_Total_total", "_Total"), list(sample.labels.items())
            found[name if len(labels) == 3 else f"{name} {labels[-1][1]}"] = sample.value
    return found


def test_what_a_client_and_a_drill_did_is_measured(new_server: Callable[..., Server]) -> None:
    server = new_server(env={"HOWDAH_BACKUP_ARCHIVE": ""})
    service = server.running()
    before = scrape(server, service["id"])
    assert before["howdah_up"] == 1
    with psycopg.connect(service["connectionString"], autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT generate_series(1, 50000) n")
        connection.execute("SELECT repeat('x', %s)", [2 * MIB])
    eventually("it can be drilled", lambda: "earliestRestoreTime" in server.get(service["id"]), within=60)
    drills = f"/v1/howdah/services/{service['id']}/drills"
    assert server.client.post(drills).status_code == 200

    eventually("the drill has ended", lambda: server.client.get(drills).json()["result"]["drills"], within=120)

    def measured() -> dict[str, float] | None:
        now = scrape(server, service["id"])
        told = "howdah_last_verified_restore_age_seconds" in now and not now["howdah_archive_waiting_bytes"]
        return now if told else None

    now = eventually("the drill is told of", measured, within=120)
    assert now["PostgresServer_TuplesInserted_Total"] >= before["PostgresServer_TuplesInserted_Total"] + 50_000
    assert 2 * MIB < now["PostgresServer_NetworkTransmitBytes_Total"] < 3 * MIB
    assert 0 < now["PostgresServer_NetworkReceiveBytes_Total"] < MIB
    assert now["PostgresServer_CPUSeconds_Total user"] > 0
    assert now["howdah_last_drill_problems"] == now["howdah_archive_gaps"] == now["howdah_archive_problem"] == 0
    assert now["howdah_backups"] >= 1
    assert now["howdah_last_backup_age_seconds"] < 120
    assert now["howdah_archive_stored_bytes"] > 100_000
    assert now["howdah_health_status ok"] == 1
