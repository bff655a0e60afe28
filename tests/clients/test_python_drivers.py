"""psycopg and asyncpg by the strings of ``connections``, with a password that no URL likes."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from fixtures.server import Server

WILD = "Aa1@:/?#%&= +\"'\\$ä"


@pytest.fixture(scope="module")
def service(shared_server: Server) -> dict[str, Any]:
    running = shared_server.running()
    shared_server.call("PATCH", f"/{running['id']}/password", {"password": WILD})
    return shared_server.get(running["id"])


@pytest.fixture(scope="module")
def strings(shared_server: Server, service: dict[str, Any]) -> dict[str, Any]:
    return shared_server.connections(service["id"])["direct"]


@pytest.fixture(scope="module")
def authority(shared_server: Server, service: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    file.write_text(shared_server.client.get(f"{shared_server.services}/{service['id']}/caCertificates").text)
    return file


@pytest.fixture(scope="module")
def strict(authority: Path) -> ssl.SSLContext:
    """Python 3.13's defaults, also where an older Python runs the test."""
    context = ssl.create_default_context(cafile=str(authority))
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def test_psycopg_connects_by_its_string(strings: dict[str, str]) -> None:
    with psycopg.connect(strings["psycopg"]) as connection:
        assert connection.execute("select 41 + 1").fetchone() == (42,)


def test_psycopg_verifies_the_server_in_full(service: dict[str, Any], authority: Path) -> None:
    target = service["connectionString"]
    with psycopg.connect(target, sslmode="verify-full", sslrootcert=str(authority)) as connection:
        assert connection.pgconn.ssl_in_use
    with psycopg.connect(
        target, sslmode="verify-full", sslrootcert=str(authority), sslnegotiation="direct"
    ) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


async def test_asyncpg_connects_by_its_string(strings: dict[str, str]) -> None:
    connection = await asyncpg.connect(strings["asyncpg"])
    assert await connection.fetchval("select 41 + 1") == 42
    await connection.close()


async def test_asyncpg_connects_with_pythons_strictest_context(strings: dict[str, str], strict: ssl.SSLContext) -> None:
    connection = await asyncpg.connect(strings["asyncpg"].partition("?")[0], ssl=strict)
    assert await connection.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()") is True
    await connection.close()


def test_direct_tls_with_alpn_passes_pythons_strictest_context(
    shared_server: Server, service: dict[str, Any], strict: ssl.SSLContext
) -> None:
    strict.set_alpn_protocols(["postgresql"])
    port = int(service["connectionString"].rpartition("@")[2].partition("/")[0].rpartition(":")[2])
    with (
        socket.create_connection((service["hostname"], port), timeout=10) as plain,
        strict.wrap_socket(plain, server_hostname=service["hostname"]) as encrypted,
    ):
        assert (encrypted.version(), encrypted.selected_alpn_protocol()) == ("TLSv1.3", "postgresql")


def test_the_strings_for_sqlalchemy_work_as_they_stand(strings: dict[str, str]) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(strings["sqlalchemy"])
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("select 41 + 1")).scalar() == 42
    engine.dispose()
