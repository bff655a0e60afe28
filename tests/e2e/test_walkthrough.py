"""The seed document's story, end to end."""

from __future__ import annotations

import re
import subprocess

import pytest
from fixtures.psql import psql
from fixtures.server import Server, eventually


@pytest.mark.parametrize("version", ["17", "18"])
def test_one_post_makes_a_real_postgres(shared_server: Server, any_psql: str, version: str) -> None:
    created = shared_server.create(postgresVersion=version, storageSize=118)
    service = created["id"]
    assert created == {
        "id": service,
        "name": "my postgres",
        "provider": "aws",
        "region": "us-west-2",
        "postgresVersion": version,
        "size": "r8gd.large",
        "storageSize": 118,
        "haType": "none",
        "tags": [],
        "connectionString": created["connectionString"],
        "username": "postgres",
        "password": created["password"],
        "hostname": created["hostname"],
        "isPrimary": True,
        "state": "creating",
        "createdAt": created["createdAt"],
        "ipAccessList": created["ipAccessList"],
    }
    assert re.fullmatch(
        rf"my-postgres-[0-9a-f]{{8}}\.{service}\.c0\.us-west-2\.aws\.pg\.localhost", created["hostname"]
    )
    running = shared_server.wait_until(service, "running")
    assert running == created | {"state": "running"}

    shown = psql(any_psql, running["connectionString"], "-c", "show server_version; show is_superuser")
    assert shown.stderr == ""
    assert re.fullmatch(rf"{version}\.\d+\non\n", shown.stdout)
    encrypted = psql(
        any_psql,
        running["connectionString"],
        "-c",
        "select version || ' ' || cipher from pg_stat_ssl where pid = pg_backend_pid()",
    )
    assert encrypted.stdout == "TLSv1.3 TLS_AES_256_GCM_SHA384\n"

    tags = [{"key": "Environment", "value": "production"}]
    assert shared_server.call("PATCH", f"/{service}", {"tags": tags}) == running | {"tags": tags}
    assert shared_server.call("PATCH", f"/{service}", {}) == running | {"tags": tags}

    assert shared_server.call("DELETE", f"/{service}") is None
    shared_server.wait_until_gone(service)
    assert psql(any_psql, running["connectionString"], "-c", "select 1").returncode == 2


def test_a_client_may_connect_the_moment_the_post_has_answered(shared_server: Server, psql_program: str) -> None:
    created = shared_server.create()
    assert psql(psql_program, created["connectionString"], "-c", "select 41 + 1").stdout == "42\n"


def test_a_rename_gives_a_new_hostname_and_keeps_the_old_one_for_a_while(shared_server: Server, any_psql: str) -> None:
    before = shared_server.running()
    after = shared_server.call("PATCH", f"/{before['id']}", {"name": "Other name"})
    assert after["hostname"].startswith("other-name-")
    for target in (after["connectionString"], before["connectionString"]):
        eventually(
            f"psql gets in by {target}",
            lambda target=target: psql(any_psql, target, "-c", "select 1").stdout == "1\n",
            within=10,
        )


def test_verify_full_holds_with_the_downloaded_ca(shared_server: Server, psql_program: str, tmp_path: object) -> None:
    running = shared_server.running()
    answer = shared_server.client.get(f"{shared_server.services}/{running['id']}/caCertificates")
    assert answer.headers["content-disposition"] == 'attachment; filename="postgres-ca-certificate.pem"'
    authority = f"{tmp_path}/ca.pem"
    with open(authority, "w") as file:
        file.write(answer.text)
    target = running["connectionString"] + f"&sslmode=verify-full&sslrootcert={authority}"
    assert psql(psql_program, target, "-c", "select 1").stdout == "1\n"
    other = shared_server.running()
    refused = psql(psql_program, other["connectionString"] + f"&sslmode=verify-full&sslrootcert={authority}", "-c", "")
    assert "certificate verify failed" in refused.stderr


def test_plaintext_and_wrong_passwords_are_refused(shared_server: Server, psql_program: str) -> None:
    running = shared_server.running()
    base = running["connectionString"].partition("?")[0]
    plain = psql(psql_program, f"{base}?sslmode=disable", "-c", "select 1")
    assert (plain.returncode, "TLS" in plain.stderr, "sslmode" in plain.stderr) == (2, True, True)
    wrong = psql(psql_program, base.replace(running["password"], "wrong"), "-c", "select 1")
    assert "password authentication failed" in wrong.stderr


def test_a_new_password_is_in_effect_when_the_call_answers(shared_server: Server, any_psql: str) -> None:
    before = shared_server.running()
    wild = "aA1@:/?#%&= +ä'\"\\$"
    assert shared_server.call("PATCH", f"/{before['id']}/password", {"password": wild}) == {}
    after = shared_server.get(before["id"])
    assert after["password"] == wild
    assert psql(any_psql, after["connectionString"], "-c", "select 1").stdout == "1\n"
    old = psql(any_psql, before["connectionString"], "-c", "select 1")
    assert "password authentication failed" in old.stderr
    generated = shared_server.call("PATCH", f"/{before['id']}/password", {})["password"]
    target = after["connectionString"]
    assert shared_server.get(before["id"])["password"] == generated
    assert psql(any_psql, target, "-c", "select 1").returncode == 2


def test_a_restart_really_restarts_and_new_connections_wait_for_it(shared_server: Server, any_psql: str) -> None:
    running = shared_server.running()
    target = running["connectionString"]
    psql(any_psql, target, "-c", "create table kept as select 7 n")
    started = psql(any_psql, target, "-c", "select pg_postmaster_start_time()").stdout
    shown = shared_server.call("PATCH", f"/{running['id']}/state", {"command": "restart"})
    assert shown["state"] == "restarting"
    again = psql(any_psql, target, "-c", "select pg_postmaster_start_time()")
    assert again.returncode == 0, again.stderr
    assert again.stdout != started
    shared_server.wait_until(running["id"], "running")
    assert psql(any_psql, target, "-c", "select n from kept").stdout == "7\n"


def test_ctrl_c_in_psql_cancels_its_query_and_disturbs_nobody_else(shared_server: Server, psql_program: str) -> None:
    target = shared_server.running()["connectionString"]
    other = shared_server.running()["connectionString"]
    from fixtures.psql import psql_env

    def sleeper(conn: str, seconds: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [psql_program, "-XAtq", conn, "-c", f"select pg_sleep({seconds})", "-c", "select 'done'"],
            env=psql_env(psql_program),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def sleeping(conn: str) -> bool:
        count = "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'"
        return psql(psql_program, conn, "-c", count).stdout == "1\n"

    with sleeper(target, "600") as cancelled, sleeper(other, "3") as undisturbed:
        for conn in (target, other):
            eventually("the query runs", lambda conn=conn: sleeping(conn))
        cancelled.send_signal(2)
        _, errors = cancelled.communicate(timeout=30)
        assert "canceling statement due to user request" in errors
        assert undisturbed.communicate(timeout=30)[0] == "\ndone\n"
