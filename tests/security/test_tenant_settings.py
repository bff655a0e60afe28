"""A tenant can set everything that a superuser can. What management stands on is not among it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import psycopg
import pytest
from fixtures.server import alive, eventually
from security.tenants import Ground, Tenant

DANGEROUS = {
    "ssl": "off",
    "listen_addresses": "*",
    "port": "1",
    "unix_socket_directories": "/tmp",
    "unix_socket_permissions": "0",
    "unix_socket_group": "nobody",
    "hba_file": "/tmp/nowhere",
    "ident_file": "/tmp/nowhere",
    "external_pid_file": "/tmp/of-a-tenant.pid",
    "ssl_cert_file": "/tmp/nowhere",
    "ssl_key_file": "/tmp/nowhere",
    "ssl_ca_file": "/tmp/nowhere",
    "ssl_crl_file": "/tmp/nowhere",
    "ssl_passphrase_command": "sleep 1000",
    "ssl_min_protocol_version": "TLSv1",
    "ssl_ciphers": "nonsense",
    "log_directory": "/tmp",
    "log_filename": "of-a-tenant",
    "log_destination": "syslog",
    "logging_collector": "off",
    "log_file_mode": "0666",
    "log_rotation_age": "0",
    "wal_level": "minimal",
    "password_encryption": "md5",
    "restart_after_crash": "off",
    "pre_auth_delay": "30s",
    "max_slot_wal_keep_size": "-1",
}
"""What would take a server from its users or from us, were it in effect."""


def pinned(tenant: Tenant) -> dict[str, str]:
    names = ", ".join(f"'{name}'" for name in DANGEROUS)
    return dict(tenant.sql(f"SELECT name, setting FROM pg_settings WHERE name IN ({names})"))


@pytest.mark.fault(
    what="As superuser: `ALTER SYSTEM` of addresses, ports, sockets, TLS, rules, the log and whatever else management"
    " stands on; then a restart",
    then="Without effect: these are on the server's command line, which overrides every file",
)
def test_alter_system_does_not_take_a_server_away(tenant: Tenant) -> None:
    before = pinned(tenant)
    assert before.keys() == DANGEROUS.keys()
    tenant.sql(
        *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in DANGEROUS.items()), "SELECT pg_reload_conf()"
    )
    tenant.restarted()
    assert pinned(tenant) == before
    assert tenant.set_password() == (200, "")
    assert tenant.sql("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)]


@pytest.mark.long
@pytest.mark.fault(
    what="As superuser: `archive_command`, `restore_command`, `archive_cleanup_command` that run programs",
    then="They run with its own rights; neither state nor restart waits for them",
)
def test_commands_in_settings_run_as_the_tenant_and_hold_nothing_up(tenant: Tenant) -> None:
    mark = tenant.data / "archived-as"
    tenant.sql(
        "ALTER SYSTEM SET archive_mode = on",
        f"ALTER SYSTEM SET archive_command = 'id -u >{mark}; trap \"\" INT TERM QUIT; sleep 1000'",
        "ALTER SYSTEM SET restore_command = 'sleep 1000'",
    )
    tenant.restarted()
    tenant.sql("SELECT pg_switch_wal()")
    eventually("the command has run", lambda: mark.exists() and mark.read_text().strip() == str(tenant.uid))
    tenant.restarted(within=120)


BREAKING = [
    ("ALTER SYSTEM SET shared_preload_libraries = 'nonsense'", "nonsense"),
    *(
        pytest.param(*more, marks=pytest.mark.long)
        for more in (
            ("ALTER SYSTEM SET shared_buffers = '4TB'", "shared_buffers"),
            ("ALTER SYSTEM SET superuser_reserved_connections = 99999", "superuser_reserved_connections"),
        )
    ),
]


@pytest.mark.fault(
    what="As superuser: settings with which no server can start (`shared_preload_libraries`, `shared_buffers`, …),"
    " nonsense in postgresql.auto.conf",
    then="After the first failed start Howdah puts postgresql.auto.conf aside, as postgresql.auto.conf.broken beside"
    " it, and the server starts without it",
)
@pytest.mark.parametrize(("setting", "word"), BREAKING)
def test_settings_with_which_no_server_can_start_are_put_aside(
    tenant: Tenant, setting: str, word: str, measured: Callable[[str, float], None]
) -> None:
    tenant.sql("CREATE TABLE kept AS SELECT 7 AS n", setting)
    before = tenant.server.postmaster(tenant.id)
    began = time.monotonic()
    tenant.restart()
    eventually("the old server has ended", lambda: not alive(before))
    tenant.until_running()
    measured("until running again", time.monotonic() - began)
    assert tenant.sql("SELECT n FROM kept") == [(7,)]
    assert word in (tenant.data / "postgresql.auto.conf.broken").read_text()
    assert "postgresql.auto.conf.broken" in tenant.until_reason("settings", state="running")


@pytest.mark.parametrize(
    "content", ["nonsense that is no setting", pytest.param("include_dir '/nowhere'", marks=pytest.mark.long)]
)
def test_nonsense_in_its_settings_file_is_put_aside(tenant: Tenant, content: str) -> None:
    (tenant.data / "postgresql.auto.conf").write_text(f"{content}\n")
    before = tenant.server.postmaster(tenant.id)
    tenant.restart()
    eventually("the old server has ended", lambda: not alive(before))
    tenant.until_running()
    assert tenant.sql("SELECT 1") == [(1,)]


MENDED = {
    "RENAME": "ALTER ROLE somebody RENAME TO postgres",
    "NOLOGIN": "ALTER ROLE postgres LOGIN",
    "ALLOW": "ALTER DATABASE postgres ALLOW_CONNECTIONS true",
}
ROLES = [
    ("ALTER ROLE postgres RENAME TO somebody", 503),
    ("ALTER ROLE postgres PASSWORD 'of-the-tenants-own'", 200),
    ("DROP DATABASE postgres WITH (FORCE)", 200),
    *(
        pytest.param(*more, marks=pytest.mark.long)
        for more in (
            ("ALTER ROLE postgres NOLOGIN", 503),
            ("ALTER ROLE postgres PASSWORD NULL", 200),
            ("ALTER ROLE postgres VALID UNTIL '2001-01-01'", 200),
            ("ALTER ROLE postgres CONNECTION LIMIT 0", 200),
            ("ALTER DATABASE postgres RENAME TO elsewhere", 200),
            ("ALTER DATABASE postgres ALLOW_CONNECTIONS false", 200),
            (
                "ALTER DATABASE postgres ALLOW_CONNECTIONS false; ALTER DATABASE template1 ALLOW_CONNECTIONS false",
                503,
            ),
        )
    ),
]


@pytest.mark.fault(
    what="As superuser: the role `postgres` renamed, locked, expired, with another password or none; the database"
    " `postgres` dropped, renamed or closed",
    then="State, restart and delete work; a new password is set where Postgres lets anybody in, else it says what is"
    " wrong and is applied as soon as that is put right",
)
@pytest.mark.parametrize(("statements", "expected"), ROLES)
def test_a_changed_role_or_database_does_not_take_the_service_away(
    tenant: Tenant, statements: str, expected: int
) -> None:
    tenant.sql("CREATE DATABASE other", "CREATE ROLE other SUPERUSER LOGIN PASSWORD 'Other-Secret-42'")
    other = psycopg.conninfo.make_conninfo(tenant.string, user="other", password="Other-Secret-42", dbname="other")
    with psycopg.connect(other, autocommit=True) as session:
        for statement in statements.split("; "):
            session.execute(statement)  # pyright: ignore[reportArgumentType]
        if expected == 503:
            status, error = tenant.set_password("New-Secret-12345")
            assert (status, "postgres" in error) == (503, True), error
            assert "postgres" in (tenant.state()[1] or "")
            mend = next(mend for word, mend in MENDED.items() if word in statements)
            session.execute(mend)  # pyright: ignore[reportArgumentType]
            eventually("the password is in effect", lambda: can_connect(tenant, "New-Secret-12345"))
        else:
            assert tenant.set_password() == (200, "")
    tenant.restarted()


def can_connect(tenant: Tenant, password: str) -> bool:
    try:
        with tenant.connect(password=password):
            return True
    except psycopg.OperationalError:
        return False


@pytest.mark.fault(
    what="As superuser: login event triggers that raise, sleep or loop for everybody",
    then="Howdah's own connections run none; a new password is set and the service restarts",
)
def test_login_triggers_do_not_keep_us_out(tenant: Tenant) -> None:
    tenant.sql(
        "CREATE FUNCTION trap() RETURNS event_trigger LANGUAGE plpgsql AS"
        " 'BEGIN RAISE EXCEPTION ''nobody comes in''; END'",
        "CREATE EVENT TRIGGER trap ON login EXECUTE FUNCTION trap()",
        "ALTER EVENT TRIGGER trap ENABLE ALWAYS",
    )
    assert tenant.set_password() == (200, "")
    tenant.restart()
    tenant.until_running()


@pytest.mark.fault(
    what="As superuser: every connection taken, those reserved for superusers and those of replication too",
    then="The service stays `running`; a new password says that it cannot be set yet; restart and delete work",
)
def test_all_connections_taken_leave_the_service_manageable(tenant: Tenant) -> None:
    tenant.sql("ALTER SYSTEM SET max_connections = 10", "ALTER SYSTEM SET max_wal_senders = 2")
    tenant.restarted()
    taken: list[psycopg.Connection[object]] = []
    try:
        for options in ({}, {"replication": "database"}):
            while (session := _opened(tenant, options)) is not None:
                taken.append(session)
        assert len(taken) >= 10
        assert tenant.state()[0] == "running"
        status, error = tenant.set_password("Another-Secret-42")
        assert status == 503
        assert "connection" in error or "client" in error, error
        tenant.restarted()
    finally:
        for session in taken:
            session.close()
    tenant.string = tenant.server.get(tenant.id)["connectionString"]
    assert tenant.sql("SELECT 1") == [(1,)]


def _opened(tenant: Tenant, options: dict[str, str]) -> psycopg.Connection[object] | None:
    try:
        return tenant.connect(**options)
    except psycopg.OperationalError as error:
        if not any(word in str(error) for word in ("too many", "max_wal_senders", "remaining")):
            raise
        return None


@pytest.mark.long
@pytest.mark.fault(
    what="As superuser: replication slots that nobody reads, locks on the catalogs",
    then="State, restart and delete do not depend on them",
)
def test_slots_and_locks_do_not_hold_management_up(tenant: Tenant) -> None:
    tenant.sql(
        "SELECT pg_create_physical_replication_slot('mine', true)",
        "SELECT pg_create_logical_replication_slot('l', 'pgoutput')",
    )
    with tenant.connect() as session:
        session.execute("BEGIN")
        session.execute("LOCK TABLE pg_authid, pg_database IN ACCESS EXCLUSIVE MODE")
        status, error = tenant.set_password("Another-Secret-42")
        assert status == 503, error
        assert tenant.state()[0] == "running"
        session.execute("ROLLBACK")
    eventually("the password is in effect", lambda: can_connect(tenant, "Another-Secret-42"))
    tenant.string = tenant.server.get(tenant.id)["connectionString"]
    tenant.restarted()
    assert tenant.sql("SELECT count(*) FROM pg_replication_slots") == [(2,)]


@pytest.mark.skipif(os.geteuid() == 0, reason="as root each service has an OS user of its own")
def test_who_starts_it_as_an_ordinary_user_is_told_that_it_is_for_one_tenant(ground: Ground) -> None:
    assert "whoever is superuser of one can reach the others" in " ".join(ground.server.log.split())
