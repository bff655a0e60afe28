"""A server with a certificate of its own, as its users meet it: the command line, curl, and others who trust its CA."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fixtures.command import howdah
from fixtures.server import Server, eventually


@pytest.fixture
def server() -> Iterator[Server]:
    top = Path(tempfile.mkdtemp(prefix="hwd-"))
    top.chmod(0o755)
    one = Server(top / "state", env={"HOWDAH_API_TLS_GENERATE": "true", "HOWDAH_API_HOST": "0.0.0.0"})
    one.spawn()
    eventually("it is ready", lambda: "is ready" in one.log, within=120)
    yield one
    one.stop_everything()
    shutil.rmtree(top)


def test_a_generated_certificate_works_for_the_command_line_for_curl_and_for_others(server: Server) -> None:
    listed = howdah("services", "list", "--json", state=server.state)
    assert (listed.returncode, json.loads(listed.stdout)) == (0, []), listed.stderr

    said = howdah("env", state=server.state).stdout
    curl = 'curl -sS --fail --cacert "$API_CA_FILE" --user "$KEY_ID:$KEY_SECRET" "$API_URL/v1/organizations"'
    shell = subprocess.run(["bash", "-euc", f"{said}\n{curl}"], capture_output=True, text=True, check=False)
    assert shell.returncode == 0, shell.stderr
    assert json.loads(shell.stdout)["result"][0]["id"] == server.credentials["ORG_ID"]

    environment = json.loads(howdah("env", "--json", state=server.state).stdout)
    by_environment = howdah("services", "list", "--json", **environment)
    assert by_environment.returncode == 0, by_environment.stderr
    del environment["API_CA_FILE"]
    untrusted = howdah("services", "list", **environment)
    assert untrusted.returncode != 0
    assert "certificate verify failed" in untrusted.stderr

    context = ssl.create_default_context(cafile=str(server.state / "api-ca.pem"))
    with httpx.Client(verify=context) as other:
        assert other.get(server.credentials["API_URL"] + "/readyz").status_code == 200
