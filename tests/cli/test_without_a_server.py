"""What the command line says when there is nothing to talk to."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.command import howdah
from fixtures.server import eventually

from howdah import __version__
from howdah.domain.routes import encode_routes


@pytest.mark.parametrize(
    "command",
    [
        ["env"],
        ["services", "list"],
        ["services", "restore", "x", "--name", "y"],
        ["backups", "list", "x"],
        ["backups", "create", "x"],
        ["backups", "deleted"],
        ["backups", "purge", "x"],
        ["organizations", "list"],
        ["organizations", "create", "x"],
        ["organizations", "retention", "x", "1"],
        ["keys", "list"],
        ["keys", "revoke", "x"],
    ],
    ids=" ".join,
)
def test_without_a_state_it_says_how_to_start_and_makes_nothing(command: list[str], tmp_path: Path) -> None:
    state = tmp_path / "none"
    said = howdah(*command, "--state", str(state))
    assert (said.returncode, said.stdout) == (1, "")
    assert f"no Howdah was ever started in {state}; start it: python -m howdah serve --state {state}" in said.stderr
    assert not state.exists()


def test_doctor_works_without_a_state(tmp_path: Path) -> None:
    said = howdah("doctor", "--json", "--state", str(tmp_path / "none"), HOWDAH_API_PORT="0", HOWDAH_ROUTER_PORT="0")
    findings = json.loads(said.stdout)
    assert {finding["level"] for finding in findings} <= {"ok", "warn", "fail"}
    assert all(finding["advice"] for finding in findings if finding["level"] != "ok")
    assert {"API port", "name resolution", "disk", "clock", "store"} <= {finding["check"] for finding in findings}


def test_stop_without_a_state_says_so(tmp_path: Path) -> None:
    said = howdah("stop", "--state", str(tmp_path / "none"))
    assert (said.returncode, "there is no state directory" in said.stderr) == (1, True)


def test_a_router_whose_state_directory_was_deleted_is_named_and_can_be_stopped(tmp_path: Path) -> None:
    state, port = tmp_path / "state", {"HOWDAH_API_PORT": "0", "HOWDAH_ROUTER_PORT": "0"}
    (state / "router").mkdir(parents=True)
    routes, status = state / "routes.json", state / "router" / "status.json"
    routes.write_bytes(encode_routes([]))
    command = [sys.executable, "-m", "howdah.router", "--routes", str(routes), "--status-file", str(status)]
    router = subprocess.Popen([*command, "--port", "0", "--address", "127.0.0.1"], stderr=subprocess.DEVNULL)
    try:
        eventually("it listens", status.exists)
        shutil.rmtree(state)
        findings = json.loads(howdah("doctor", "--json", "--state", str(tmp_path / "another"), **port).stdout)
        (found,) = [finding for finding in findings if str(state) in finding["said"]]
        assert (found["check"], found["level"]) == ("abandoned router", "warn")
        assert found["advice"].endswith(f"howdah stop --state {state}")
        said = howdah("stop", "--json", "--state", str(state))
        assert json.loads(said.stdout) == {"controlPlane": False, "servers": 0, "router": True}
        assert router.wait(10) == 0
    finally:
        router.kill()
        router.wait(10)
    said = howdah("stop", "--state", str(state))
    assert (said.returncode, "there is no state directory" in said.stderr) == (1, True)


def test_a_server_that_does_not_answer_is_named() -> None:
    said = howdah("services", "list", API_URL="http://127.0.0.1:1", ORG_ID="o", KEY_ID="k", KEY_SECRET="s")
    assert said.returncode == 1
    assert "no Howdah answers at http://127.0.0.1:1" in said.stderr


def test_half_of_the_credentials_in_the_environment_is_an_error() -> None:
    said = howdah("services", "list", API_URL="http://127.0.0.1:1")
    assert (said.returncode, "lacks ORG_ID, KEY_ID, KEY_SECRET" in said.stderr) == (1, True)


def test_a_mistyped_command_is_suggested_and_has_status_2() -> None:
    said = howdah("servces")
    assert said.returncode == 2
    assert "services" in said.stderr


def test_version_names_what_it_brings() -> None:
    assert howdah("version").stdout.startswith(f"howdah {__version__} (Postgres 17.")
    assert howdah("--version").stdout == howdah("version").stdout
    shown = json.loads(howdah("version", "--json").stdout)
    assert shown["howdah"] == __version__
    assert set(shown["postgres"]) == {"17", "18"}


def test_the_api_is_not_offered_to_the_network(tmp_path: Path) -> None:
    said = howdah("serve", "--state", str(tmp_path / "none"), HOWDAH_API_HOST="0.0.0.0")
    assert said.returncode == 1
    assert "api.host is 0.0.0.0, where others could read keys" in said.stderr
    assert not (tmp_path / "none").exists()


def test_a_command_that_needs_nothing_heavy_loads_nothing_heavy() -> None:
    code = (
        "import sys, howdah.cli.app; "
        "print([m for m in ('starlette', 'sqlalchemy', 'uvicorn', 'cryptography', 'psycopg') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"
