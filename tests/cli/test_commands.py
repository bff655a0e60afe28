"""The command line against a real server."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from fixtures.command import howdah
from fixtures.server import Server, alive, eventually


def result(server: Server, *arguments: str) -> object:
    ran = howdah(*arguments, "--json", state=server.state)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_env_gives_a_shell_what_curl_needs(shared_server: Server) -> None:
    said = howdah("env", state=shared_server.state)
    script = f"{said.stdout}\n" + 'echo "$API_URL $ORG_ID $KEY_ID $KEY_SECRET"'
    shell = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    known = shared_server.credentials
    assert shell.stdout.split() == [known[name] for name in ("API_URL", "ORG_ID", "KEY_ID", "KEY_SECRET")]
    assert result(shared_server, "env") == {name: known[name] for name in ("API_URL", "ORG_ID", "KEY_ID", "KEY_SECRET")}


def test_the_life_of_a_service(shared_server: Server) -> None:
    made = howdah("services", "create", "of cli", "--tag", "a=b", "--tag", "c", "--wait", state=shared_server.state)
    assert made.returncode == 0, made.stderr
    assert ": running (" in made.stderr
    shown = result(shared_server, "services", "get", "of cli")
    assert isinstance(shown, dict)
    assert (shown["state"], shown["tags"]) == ("running", [{"key": "a", "value": "b"}, {"key": "c"}])
    assert shown["connectionString"] in made.stdout
    assert result(shared_server, "services", "get", shown["id"]) == shown
    listed = result(shared_server, "services", "list", "--tag", "a:b", "--in-state", "running")
    assert isinstance(listed, list)
    assert [service["id"] for service in listed] == [shown["id"]]

    before = shared_server.postmaster(shown["id"])
    restarted = result(shared_server, "services", "restart", "of cli", "--wait")
    assert isinstance(restarted, dict)
    assert restarted["state"] == "running"
    assert shared_server.postmaster(shown["id"]) != before

    assert result(shared_server, "services", "delete", "of cli", "--wait") == {
        "id": shown["id"],
        "deleted": True,
    }
    gone = howdah("services", "get", shown["id"], state=shared_server.state)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "there is no Postgres service" in gone.stderr


def test_a_name_that_several_services_have_is_refused_with_their_ids(shared_server: Server) -> None:
    ids = [shared_server.create(name="twice")["id"] for _ in range(2)]
    said = howdah("services", "get", "twice", state=shared_server.state)
    assert said.returncode == 1
    assert all(one in said.stderr for one in ids)


def test_the_servers_own_sentence_is_shown(shared_server: Server) -> None:
    said = howdah("services", "create", "x", "--size", "huge", "--json", state=shared_server.state)
    assert said.returncode == 1
    assert json.loads(said.stderr)["error"].startswith("size 'huge' is not offered by aws in us-west-2; nearest: ")


def test_a_key_made_beside_the_running_server_works_at_once_until_it_is_revoked(shared_server: Server) -> None:
    made = result(shared_server, "keys", "create", "--name", "ci", "--role", "developer", "--api-version", "beta")
    assert isinstance(made, dict)
    env = shared_server.credentials | {"KEY_ID": made["keyId"], "KEY_SECRET": made["keySecret"]}
    assert howdah("services", "list", "--json", **env).returncode == 0
    listed = result(shared_server, "keys", "list")
    assert isinstance(listed, list)
    assert made["keySecret"] not in json.dumps(listed)
    assert {name: value for name, value in made.items() if name != "keySecret"} in listed
    assert result(shared_server, "keys", "revoke", made["keyId"]) == {"keyId": made["keyId"], "state": "disabled"}
    refused = howdah("services", "list", **env)
    assert refused.returncode == 1
    assert f"does not accept the key '{made['keyId']}'" in refused.stderr


def test_with_a_second_organization_keys_want_to_know_which(server: Server) -> None:
    second = result(server, "organizations", "create", "Second")
    assert isinstance(second, dict)
    listed = result(server, "organizations", "list")
    assert isinstance(listed, list)
    assert [organization["name"] for organization in listed] == ["Default", "Second"]
    assert result(server, "organizations", "retention", "Second", "30") == second | {"retentionDays": 30}
    assert result(server, "organizations", "retention", second["id"], "default") == second
    for days in ("0", "10000", "a week", "1.5", ""):
        refused = howdah("organizations", "retention", "Second", days, state=server.state)
        said = f"howdah: DAYS is {days!r}; it must be from 1 to 9999, or default\n"
        assert (refused.returncode, refused.stderr) == (1, said)
    unsure = howdah("keys", "create", state=server.state)
    assert (unsure.returncode, second["id"] in unsure.stderr) == (1, True)
    made = result(server, "keys", "create", "--org", "Second")
    assert isinstance(made, dict)
    env = server.credentials | {"ORG_ID": second["id"], "KEY_ID": made["keyId"], "KEY_SECRET": made["keySecret"]}
    assert howdah("services", "list", "--json", **env).stdout == "[]\n"


def test_doctor_finds_nothing_failed_on_a_healthy_server_and_says_when_the_router_is_gone(server: Server) -> None:
    server.running()
    findings = result(server, "doctor")
    assert isinstance(findings, list)
    said = {finding["check"]: finding for finding in findings}
    assert [finding for finding in findings if finding["level"] == "fail"] == []
    assert said["servers"]["said"] == "all 1 run"
    assert said["router"]["level"] == "ok"
    assert said["health"] == {"check": "health", "level": "ok", "said": "of 1 service: all well", "advice": ""}
    server.kill()
    os.kill(server.router(), 9)
    eventually("the router is gone", lambda: not alive(server.router()))
    ran = howdah("doctor", state=server.state)
    assert ran.returncode == 1
    assert "fail  router: it does not run" in ran.stdout
    assert "warn  control plane: it does not run" in ran.stdout


def test_a_second_server_for_the_same_state_is_refused_and_named(shared_server: Server) -> None:
    assert shared_server.process is not None
    said = howdah("serve", "--api-port", "0", "--postgres-port", "0", state=shared_server.state)
    assert said.returncode == 1
    assert f"another Howdah (pid {shared_server.process.pid}) serves {shared_server.state}" in said.stderr


def test_a_taken_port_of_the_api_is_named(shared_server: Server) -> None:
    port = shared_server.credentials["API_URL"].rpartition(":")[2]
    said = howdah("serve", "--api-port", port, "--postgres-port", "0", state=shared_server.state.parent / "other")
    assert said.returncode == 1
    assert f"127.0.0.1 port {port}: another program does; choose another with --api-port" in said.stderr


@pytest.mark.parametrize("number", [15, pytest.param(2, marks=pytest.mark.long)])
def test_a_signal_ends_the_control_plane_alone_and_stop_ends_the_rest(server: Server, number: int) -> None:
    service = server.running()
    postmaster, router = server.postmaster(service["id"]), server.router()
    assert server.process is not None
    server.process.send_signal(number)
    assert server.process.wait(timeout=30) == 0
    assert "1 service and the router go on running. To stop them: " in server.log
    assert alive(postmaster)
    assert alive(router)
    refused = howdah("services", "list", state=server.state)
    assert (refused.returncode, "start it: " in refused.stderr) == (1, True)

    assert result(server, "stop") == {"controlPlane": False, "servers": 1, "router": True}
    assert not alive(postmaster)
    assert not alive(router)
    assert result(server, "stop") == {"controlPlane": False, "servers": 0, "router": False}


def test_stop_ends_a_running_control_plane_too(server: Server) -> None:
    service = server.running()
    pids = [server.postmaster(service["id"]), server.router()]
    assert result(server, "stop") == {"controlPlane": True, "servers": 1, "router": True}
    assert [pid for pid in pids if alive(pid)] == []
    assert server.process is not None
    assert server.process.wait(timeout=30) == 0
