"""Connection strings per driver, read back by the drivers' own parsers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from asyncpg.connect_utils import _parse_connect_dsn_and_args
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from api.client import Client
from howdah.api.connections import Target, connection_string, connections
from howdah.domain.names import read_only
from howdah.domain.organizations import Role

WILD = "Aa1@:/?#%&= +\"'\\$ä%41"
TARGET = Target("my-postgres-6d8d2e3e.pg7myrd1j06p3gx4zrm2ze8qz6.c0.us-west-2.aws.pg.localhost", 5433, WILD, None)
UNRESOLVED = replace(TARGET, hostaddr="127.0.0.1")
DRIVERS = {
    *("psql", "libpq", "psycopg", "asyncpg", "sqlalchemy", "sqlalchemy-asyncpg"),
    *("jdbc", "node-postgres", "pgx", "env"),
}
BOTH = pytest.mark.parametrize("kind", ["direct", "verified"])
VERIFIED = {"sslmode": "verify-full", "sslrootcert": "postgres-ca-certificate.pem"}


def _strings(kind: str, target: Target = TARGET) -> dict[str, str]:
    return connections(target, has_standbys=False)[kind]


def test_every_driver_has_a_string() -> None:
    assert _strings("direct").keys() == DRIVERS
    assert _strings("verified").keys() == DRIVERS - {"sqlalchemy-asyncpg"}  # it takes a context, not a file's name


@BOTH
@pytest.mark.parametrize("driver", ["libpq", "psycopg"])
def test_libpq_reads_its_own(kind: str, driver: str) -> None:
    assert conninfo_to_dict(_strings(kind, UNRESOLVED)[driver]) == {
        "user": "postgres",
        "password": WILD,
        "host": TARGET.hostname,
        "hostaddr": "127.0.0.1",
        "port": "5433",
        "dbname": "postgres",
        "channel_binding": "require",
        **(VERIFIED if kind == "verified" else {}),
    }


@BOTH
def test_a_shell_hands_psql_the_string_for_libpq(kind: str) -> None:
    command = _strings(kind)["psql"].replace("psql ", "printf %s ", 1)
    assert (
        subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
        == (_strings(kind)["libpq"])
    )


@BOTH
def test_a_shell_reads_the_env_file(kind: str) -> None:
    show = "import os, json; print(json.dumps(dict(os.environ)))"
    script = f"set -a\n{_strings(kind, UNRESOLVED)['env']}exec {sys.executable} -c '{show}'"
    env = {"LC_ALL": "C.UTF-8"}
    printed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env=env)
    read: dict[str, str] = json.loads(printed.stdout)
    assert {key: value for key, value in read.items() if key.startswith(("PG", "DATABASE"))} == {
        "DATABASE_URL": _strings(kind, UNRESOLVED)["libpq"],
        "PGHOST": TARGET.hostname,
        "PGHOSTADDR": "127.0.0.1",
        "PGPORT": "5433",
        "PGDATABASE": "postgres",
        "PGUSER": "postgres",
        "PGPASSWORD": WILD,
        "PGCHANNELBINDING": "require",
        **(
            {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "postgres-ca-certificate.pem"}
            if kind == "verified"
            else {"PGSSLMODE": "require"}
        ),
    }


def _asyncpg(dsn: str) -> Any:
    names = (
        *("host", "port", "user", "password", "passfile", "database", "ssl", "service", "servicefile"),
        *("direct_tls", "server_settings", "target_session_attrs", "krbsrvname", "gsslib"),
    )
    return _parse_connect_dsn_and_args(dsn=dsn, **dict.fromkeys(names))


def test_asyncpg_reads_its_own_and_sends_the_server_no_settings() -> None:
    addresses, parameters = _asyncpg(_strings("direct", UNRESOLVED)["asyncpg"])
    assert addresses == [(TARGET.hostname, 5433)]
    assert (parameters.user, parameters.password, parameters.database) == ("postgres", WILD, "postgres")
    assert parameters.server_settings is None
    assert parameters.sslmode.name == "require"


@BOTH
def test_sqlalchemy_reads_its_own(kind: str) -> None:
    url = make_url(_strings(kind, UNRESOLVED)["sqlalchemy"])
    assert (url.drivername, url.username, url.password) == ("postgresql+psycopg", "postgres", WILD)
    assert (url.host, url.port, url.database) == (TARGET.hostname, 5433, "postgres")
    extra = {"channel_binding": "require", "hostaddr": "127.0.0.1"}
    assert dict(url.query) == extra | (VERIFIED if kind == "verified" else {})


def test_sqlalchemy_reads_the_one_for_asyncpg() -> None:
    url = make_url(_strings("direct", UNRESOLVED)["sqlalchemy-asyncpg"])
    assert (url.drivername, url.password, dict(url.query)) == ("postgresql+asyncpg", WILD, {"ssl": "require"})


@BOTH
def test_jdbc_has_its_own_names_for_things(kind: str) -> None:
    scheme, _, url = _strings(kind)["jdbc"].partition(":")
    parts = urlsplit(url)
    assert (scheme, parts.scheme, parts.hostname, parts.port) == ("jdbc", "postgresql", TARGET.hostname, 5433)
    assert "+" not in parts.query
    assert dict(parse_qsl(parts.query, strict_parsing=True)) == {
        "user": "postgres",
        "password": WILD,
        "channelBinding": "require",
        **(VERIFIED if kind == "verified" else {"sslmode": "require"}),
    }


@BOTH
@pytest.mark.parametrize("driver", ["node-postgres", "pgx"])
def test_drivers_without_channel_binding_are_not_asked_for_it(kind: str, driver: str) -> None:
    parts = urlsplit(_strings(kind, UNRESOLVED)[driver])
    assert (unquote(parts.password or ""), parts.hostname, parts.port) == (WILD, TARGET.hostname, 5433)
    encrypted = {"node-postgres": "no-verify", "pgx": "require"}[driver]
    assert dict(parse_qsl(parts.query)) == (VERIFIED if kind == "verified" else {"sslmode": encrypted})


def test_without_a_password_no_string_has_a_place_for_one() -> None:
    found = connections(replace(TARGET, password=None), has_standbys=True)
    text = str(found)
    assert "PASSWORD=" not in text
    assert "password=" not in text
    assert "postgres:@" not in text
    assert found["direct"]["libpq"].startswith(f"postgres://postgres@{TARGET.hostname}:5433/")
    assert any("Without a password" in note for note in found["notes"])


def test_drivers_that_cannot_dial_an_address_are_told_what_to_do() -> None:
    assert any(
        f"/etc/hosts: 127.0.0.1 {TARGET.hostname}" in note
        for note in connections(UNRESOLVED, has_standbys=False)["notes"]
    )


def test_the_read_only_strings_are_the_same_but_for_the_name() -> None:
    found = connections(UNRESOLVED, has_standbys=True)
    assert "-6d8d2e3e-ro.pg7myrd1j06p3gx4zrm2ze8qz6.c0." in found["readOnly"]["direct"]["libpq"]
    for kind in ("direct", "verified"):
        assert {driver: string.replace("-ro.pg", ".pg") for driver, string in found["readOnly"][kind].items()} == found[
            kind
        ]
    assert "target_session_attrs" not in str(found["readOnly"])
    assert any("target_session_attrs" in note for note in found["notes"])
    name = conninfo_to_dict(found["readOnly"]["direct"]["libpq"])["host"]
    assert any(note.endswith(f"/etc/hosts: 127.0.0.1 {TARGET.hostname} {name}") for note in found["notes"])


def test_without_standbys_there_is_nothing_to_say_of_them() -> None:
    found = connections(TARGET, has_standbys=False)
    assert found["readOnly"] is None
    assert not any("standby" in note for note in found["notes"])


def test_the_seeds_form_is_kept_where_names_resolve() -> None:
    plain = replace(TARGET, password="vV6cfEr2p_-TzkCDrZOx")
    assert connection_string(plain) == (
        f"postgres://postgres:vV6cfEr2p_-TzkCDrZOx@{TARGET.hostname}:5433/postgres?channel_binding=require"
    )


async def test_a_service_gives_its_strings_under_the_rules_for_credentials(client: Client) -> None:
    running = await client.running()
    await client.result("PATCH", f"{client.services}/{running['id']}/password", json={"password": WILD})
    read = await client.result("GET", f"{client.services}/{running['id']}")
    path = f"/v1/howdah/services/{running['id']}/connections"
    found = await client.result("GET", path)
    assert (found["direct"]["libpq"], found["pooled"]) == (read["connectionString"], None)
    assert conninfo_to_dict(read["connectionString"])["password"] == WILD
    for key, headers in (
        (client, {"Howdah-Api-Version": "beta"}),
        (await client.with_key(Role.QUERY_ENDPOINTS), {"Howdah-Api-Version": "preview"}),
    ):
        shown = await key.result("GET", path, headers=headers)
        assert shown["direct"]["libpq"] == found["direct"]["libpq"].replace(":" + _password(found), "", 1)


async def test_a_service_with_standbys_gives_its_read_only_strings_too(client: Client) -> None:
    running = await client.running()
    path = f"/v1/howdah/services/{running['id']}/connections"
    assert (await client.result("GET", path))["readOnly"] is None
    await client.result("PATCH", f"{client.services}/{running['id']}", json={"haType": "async"})
    found = await client.result("GET", path)
    direct = found["readOnly"]["direct"]["libpq"]
    assert conninfo_to_dict(direct) == conninfo_to_dict(found["direct"]["libpq"]) | {
        "host": read_only(running["hostname"])
    }


def _password(found: dict[str, Any]) -> str:
    return urlsplit(found["direct"]["libpq"]).password or ""


async def test_the_state_of_a_service_comes_with_its_reason(client: Client, engine: Any) -> None:
    running = await client.running()
    path = f"/v1/howdah/services/{running['id']}"
    shown = await client.result("GET", path)
    assert shown == {"id": running["id"], "name": "my postgres", "state": "running", "reason": None}
    engine.reason = "Postgres ends right after its start: the disk is full"
    await client.result("PATCH", f"{client.services}/{running['id']}/state", json={"command": "restart"})
    await client.in_state(running["id"], "unavailable")
    assert await client.result("GET", path) == shown | {"state": "unavailable", "reason": engine.reason}


async def test_the_catalog_is_what_creates_are_checked_against(client: Client) -> None:
    catalog = await client.result("GET", "/v1/howdah/catalog")
    assert [provider["name"] for provider in catalog["providers"]] == ["aws", "gcp"]
    size = next(one for one in catalog["sizes"] if one["provider"] == "gcp")
    region = catalog["providers"][1]["regions"][0]
    created = await client.create(provider="gcp", region=region, size=size["name"])
    assert created["storageSize"] == size["storageGiB"]
