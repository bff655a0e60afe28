"""The Containerfile and the first process of its container, as far as both can be seen without a container engine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest
from fixtures.server import Server, alive, eventually

from howdah.domain.settings import ApiSettings, RouterSettings

TOP = Path(__file__).parents[2]
CONTAINERFILE = (TOP / "Containerfile").read_text()
INSTRUCTIONS = {"FROM", "RUN", "COPY", "ENV", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"}


def instructions() -> list[str]:
    """One line each."""
    lines = [line for line in CONTAINERFILE.splitlines() if line and not line.startswith("#")]
    return re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()


def test_it_has_only_instructions_that_are_known_and_programs_that_can_be_parsed() -> None:
    assert instructions()[0].startswith("FROM ")
    assert {line.split()[0] for line in instructions()} == INSTRUCTIONS
    for line in instructions():
        if line.startswith("RUN "):
            subprocess.run(["bash", "-n", "-c", line.removeprefix("RUN ")], check=True)
    subprocess.run(["bash", "-n", str(TOP / "packaging" / "container-entrypoint")], check=True)
    assert os.access(TOP / "packaging" / "container-entrypoint", os.X_OK)


def test_its_ports_are_the_defaults() -> None:
    (exposed,) = [line.split()[1:] for line in instructions() if line.startswith("EXPOSE")]
    assert exposed == [str(RouterSettings().port), str(ApiSettings().port)]
    assert f"http://127.0.0.1:{ApiSettings().port}/readyz" in CONTAINERFILE


def test_what_the_image_is_made_from_is_not_ignored() -> None:
    kept = {line[2:] for line in (TOP / ".containerignore").read_text().splitlines() if line.startswith("!/")}
    assert all((TOP / name).exists() for name in kept)
    assert {"Makefile", "pyproject.toml", "requirements.lock", "scripts", "src", "packaging"} <= kept


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to lack")
def test_a_start_without_a_capability_that_is_needed_says_so(tmp_path: Path) -> None:
    command = ["setpriv", "--bounding-set=-sys_ptrace", sys.executable, "-m", "howdah", "serve"]
    done = subprocess.run(
        [*command, "--state", str(tmp_path / "state")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "without the capabilities SYS_PTRACE" in done.stderr
    assert "--cap-add SYS_PTRACE" in done.stderr
    assert not (tmp_path / "state").exists()


def test_stopping_the_container_stops_every_server_in_order(new_server: Callable[..., Server], tmp_path: Path) -> None:
    server = new_server()
    service = server.running()
    server.stop_everything()
    (tmp_path / "howdah").write_text(f'#!/bin/sh\nexec {sys.executable} -m howdah "$@"\n')
    (tmp_path / "howdah").chmod(0o755)
    env = server.env | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOWDAH_STATE": str(server.state)}
    with subprocess.Popen(
        [TOP / "packaging" / "container-entrypoint", "--api-port", "0", "--postgres-port", "0"], env=env
    ) as first:
        eventually("the server is ready", lambda: _ready(server), within=60, every=0.1)
        target = server.wait_until(service["id"], "running")["connectionString"]
        with psycopg.connect(target) as connection:
            connection.execute("SELECT 1")
        pids = [server.router(), server.postmaster(service["id"])]
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
    assert not any(alive(pid) for pid in pids)
    assert not list(server.state.glob(f"services/{service['id']}/*/data/postmaster.pid"))


def _ready(server: Server) -> bool:
    server._client = None
    try:
        return server.client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
