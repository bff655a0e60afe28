"""What dies and what goes on: kill -9 of each process, alone and all at once."""

from __future__ import annotations

import subprocess

from fixtures.psql import psql, psql_env
from fixtures.server import Server, alive, eventually, kill_and_wait, paths_below


def _rows(program: str, service: dict[str, str]) -> str:
    asked = psql(program, service["connectionString"], "-c", "select count(*) from kept")
    return asked.stdout + asked.stderr


def _service_with_rows(server: Server, program: str) -> dict[str, str]:
    service = server.running()
    made = psql(program, service["connectionString"], "-c", "create table kept as select generate_series(1, 100)")
    assert made.returncode == 0, made.stderr
    return service


def test_data_survives_a_killed_postmaster(shared_server: Server, any_psql: str) -> None:
    service = _service_with_rows(shared_server, any_psql)
    before = shared_server.postmaster(service["id"])
    kill_and_wait(before)
    assert _rows(any_psql, service) == "100\n"
    shared_server.wait_until(service["id"], "running")
    assert shared_server.postmaster(service["id"]) != before


def test_open_sessions_survive_the_death_of_the_control_plane(server: Server, any_psql: str) -> None:
    service = _service_with_rows(server, any_psql)
    with subprocess.Popen(
        [any_psql, "-XAtq", service["connectionString"]],
        env=psql_env(any_psql),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as session:
        assert session.stdin is not None
        assert session.stdout is not None

        def ask(sql: str) -> str:
            session.stdin.write(sql + ";\n")
            session.stdin.flush()
            return session.stdout.readline()

        backend = ask("select pg_backend_pid()")
        server.kill()
        assert ask("select pg_backend_pid()") == backend
        assert _rows(any_psql, service) == "100\n"  # a new connection, too
        postmaster = server.postmaster(service["id"])
        server.start()
        assert server.get(service["id"])["state"] == "running"
        assert server.postmaster(service["id"]) == postmaster
        assert ask("select pg_backend_pid()") == backend
        session.stdin.close()


def test_a_killed_router_is_back_on_the_same_port(shared_server: Server, any_psql: str) -> None:
    service = _service_with_rows(shared_server, any_psql)
    killed = shared_server.router()
    kill_and_wait(killed)
    eventually("psql gets in by the same string", lambda: _rows(any_psql, service) == "100\n", within=10, every=0.1)
    assert shared_server.router() != killed
    assert shared_server.get(service["id"])["connectionString"] == service["connectionString"]


def test_everything_killed_at_once_comes_back(server: Server, any_psql: str) -> None:
    services = [_service_with_rows(server, any_psql) for _ in range(2)]
    router = server.router()
    postmasters = [server.postmaster(service["id"]) for service in services]
    server.kill()
    for pid in (router, *postmasters):
        kill_and_wait(pid)
    server.start()
    for service in services:
        server.wait_until(service["id"], "running")
        assert server.get(service["id"])["connectionString"] == service["connectionString"]
        assert _rows(any_psql, service) == "100\n"


def test_a_service_that_does_not_start_is_unavailable_with_a_reason(server: Server, any_psql: str) -> None:
    service = _service_with_rows(server, any_psql)
    server.kill()
    kill_and_wait(server.postmaster(service["id"]))
    (control,) = server.state.glob(f"services/{service['id']}/*/data/global/pg_control")
    good = control.read_bytes()
    control.write_bytes(b"\0" * len(good))
    server.start()
    server.wait_until(service["id"], "unavailable")

    def reason() -> str | None:
        shown = server.client.get(f"/v1/howdah/services/{service['id']}").json()["result"]
        return shown.get("reason")

    eventually("Postgres' own reason is given", lambda: "incompatible with server" in (reason() or ""))
    control.write_bytes(good)
    server.wait_until(service["id"], "running")
    assert _rows(any_psql, service) == "100\n"


def test_after_delete_nothing_is_left(shared_server: Server, any_psql: str) -> None:
    service = _service_with_rows(shared_server, any_psql)
    kept = shared_server.running()
    pid = shared_server.postmaster(service["id"])
    (data,) = shared_server.state.glob(f"services/{service['id']}/*/data")
    port = (data / "postmaster.pid").read_text().splitlines()[3]
    shared_server.call("DELETE", f"/{service['id']}")
    shared_server.wait_until_gone(service["id"])

    assert not alive(pid)
    assert [path for path in paths_below(shared_server.state) if service["id"] in str(path)] == []
    assert service["id"] not in (shared_server.state / "routes.json").read_text()
    listening = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True)
    assert listening.stdout == ""
    commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert service["id"] not in commands
    store = b"".join(path.read_bytes() for path in sorted(shared_server.state.glob("howdah.db*")))
    for secret in (service["hostname"], service["password"], service["id"]):
        assert secret.encode() not in store
    assert psql(any_psql, kept["connectionString"], "-c", "select 1").stdout == "1\n"
