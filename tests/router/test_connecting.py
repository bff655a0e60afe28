"""Connections through the router to real servers: every way of starting one, and the ways to be refused."""

from __future__ import annotations

import psycopg
import pytest

from router.router_process import RouterProcess, route_to
from router.tls_postgres import Postgres


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_a_client_reaches_the_server_that_its_host_name_stands_for(
    router: RouterProcess, postgres_17: Postgres, postgres_18: Postgres, negotiation: str
):
    router.routes(route_to(postgres_17), route_to(postgres_18))
    router.start()
    for server, version in ((postgres_17, 17), (postgres_18, 18)):
        options = {"sslnegotiation": negotiation, "channel_binding": "require"}
        with psycopg.connect(router.dsn(server.names[0], **options)) as connection:
            assert connection.info.server_version // 10000 == version
            assert connection.execute("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (
                "TLSv1.3",
            )
