"""How many bytes went through is told, by service, whichever process they went through."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psycopg
import pytest
from fixtures.server import eventually

from howdah.control.traffic import TrafficCounts
from howdah.domain.ids import ServiceId
from howdah.domain.metrics import Traffic
from router.renewing import renew
from router.router_process import RouterProcess, route_to
from router.tls_postgres import Postgres

SERVICE = ServiceId.new()
MIB = 1 << 20


def moved(router: RouterProcess) -> Traffic:
    counts = TrafficCounts(router.directory)
    counts.read()
    return counts.of(SERVICE)


def download(connection: psycopg.Connection, size: int) -> None:
    connection.execute("SELECT repeat('x', %s)", [size])


@pytest.mark.parametrize("workers", [1, 2])
def test_bytes_of_live_and_of_ended_connections_are_told(
    router: RouterProcess, postgres_18: Postgres, workers: int
) -> None:
    router.routes(route_to(postgres_18, service=SERVICE.ubid))
    router.start("--workers", str(workers))
    with psycopg.connect(router.dsn(postgres_18.names[0])) as stays:
        for _ in range(6):
            with psycopg.connect(router.dsn(postgres_18.names[0])) as ends:
                download(ends, MIB)
        download(stays, MIB)
        eventually("all is told", lambda: moved(router).sent >= 7 * MIB, within=20)
        assert moved(router).sent < 7.2 * MIB
        before = moved(router).received
        stays.execute("SELECT length(%s::text)", ["x" * MIB])
        eventually("what came is told", lambda: MIB <= moved(router).received - before < 1.2 * MIB, within=20)


def test_nothing_is_written_when_nothing_has_moved(router: RouterProcess, postgres_18: Postgres) -> None:
    router.routes(route_to(postgres_18, service=SERVICE.ubid))
    router.start()
    with psycopg.connect(router.dsn(postgres_18.names[0])) as connection:
        connection.execute("SELECT 1")
    assert router.stop() == 0
    file = router.directory / "traffic-0.json"
    written = file.stat().st_mtime_ns
    router.start()
    assert router.stop() == 0
    assert file.stat().st_mtime_ns == written


def test_counts_go_on_in_a_new_program_and_in_another_process(router: RouterProcess, postgres_18: Postgres) -> None:
    router.routes(route_to(postgres_18, service=SERVICE.ubid))
    router.start()
    with psycopg.connect(router.dsn(postgres_18.names[0])) as connection:
        download(connection, MIB)
        renew(router)
        assert MIB <= moved(router).sent < 1.1 * MIB
        download(connection, MIB)
    assert router.stop() == 0
    router.start("--workers", "2")
    with psycopg.connect(router.dsn(postgres_18.names[0])) as connection:
        download(connection, MIB)
    assert router.stop() == 0
    assert 3 * MIB <= moved(router).sent < 3.3 * MIB


def test_a_service_that_is_gone_is_forgotten(router: RouterProcess, postgres_18: Postgres) -> None:
    router.routes(route_to(postgres_18, service=SERVICE.ubid))
    router.start()
    with psycopg.connect(router.dsn(postgres_18.names[0])) as connection:
        download(connection, MIB)
    eventually("it is told", lambda: moved(router).sent > MIB, within=20)
    router.routes()
    eventually("it is forgotten", lambda: json.loads(told(router))["bytes"] == {}, within=20)


def told(router: RouterProcess) -> bytes:
    return (router.directory / "traffic-0.json").read_bytes()


def test_a_file_that_cannot_be_written_stops_nothing(
    router: RouterProcess, postgres_18: Postgres, tmp_path: Path
) -> None:
    (router.directory / "traffic-0.json.new").mkdir()
    router.routes(route_to(postgres_18, service=SERVICE.ubid))
    router.start()
    with psycopg.connect(router.dsn(postgres_18.names[0])) as connection:
        download(connection, MIB)
        eventually(
            "it says so", lambda: [one for one in router.events() if one["event"] == "traffic_not_written"], within=20
        )
        download(connection, MIB)
    os.rmdir(router.directory / "traffic-0.json.new")
    eventually("it is told later", lambda: moved(router).sent > 2 * MIB, within=20)
    assert router.stop(signal.SIGTERM) == 0
