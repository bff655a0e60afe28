"""The parsers against bytes that were found to reach much of them, and, long, against what else can be found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from howdah.router.clienthello import ClientHello, ClientHelloReader
from howdah.router.greeting import Hello, greeting
from howdah.router.startup import SSL_REQUEST
from router.fuzz_targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
NAME = "my-postgres.pg.example.com"
ASKED = {
    "curl": (NAME, (b"h2", b"http/1.1")),
    "go": (NAME, ()),
    "go-direct": (NAME, (b"postgresql",)),
    "java": (NAME, ()),
    "java-direct": (NAME, (b"postgresql",)),
    "libpq": (NAME, (b"postgresql",)),
    "node": (NAME, (b"postgresql",)),
    "openssl-many-protocols": (NAME, (b"h2", b"http/1.1", b"postgresql")),
    "openssl-no-name": (None, ()),
    "openssl-starttls": (NAME, ()),
    "openssl-tls12": (NAME, ()),
    "openssl-tls13": (NAME, (b"postgresql",)),
    "psql-17": (NAME, (b"postgresql",)),
    "psql-18": (NAME, (b"postgresql",)),
    "psql-debian": (NAME, ()),
    "python-tls12": (NAME, ()),
    "python-tls13": (NAME, (b"postgresql",)),
}
"""The ClientHellos in ``corpus/clients``, recorded from real clients, and what each asks for."""


def test_every_recorded_client_is_known_here():
    assert {file.name for file in (CORPUS / "clients").iterdir()} == set(ASKED)


@pytest.mark.parametrize("client", ASKED)
def test_what_real_clients_ask_for_is_understood(client: str):
    sent, (name, protocols) = (CORPUS / "clients" / client).read_bytes(), ASKED[client]
    assert ClientHelloReader().feed(sent) == ClientHello(name, protocols)
    for before, direct in ((SSL_REQUEST, False), (b"", True)):
        if name is None or (direct and b"postgresql" not in protocols):
            continue
        steps = greeting()
        next(steps)
        assert not before or steps.send(before) == b"S"
        with pytest.raises(StopIteration) as end:
            steps.send(sent)
        assert end.value.value == Hello(name, sent, direct)


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_found_before_breaks_nothing(target: str):
    found = [*(CORPUS / target).iterdir(), *(CORPUS / "clients").iterdir()]
    assert len(found) > len(ASKED)
    for file in found:
        TARGETS[target](file.read_bytes())


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_that_can_be_found_in_a_minute_breaks_it(target: str, tmp_path: Path):
    pytest.importorskip("atheris", reason="has no wheel for this Python or machine")
    fresh = tmp_path / "found"
    fresh.mkdir()
    command = [sys.executable, str(Path(__file__).parent / "fuzz.py"), target, "-max_total_time=60"]
    command += ["-print_final_stats=1", f"-artifact_prefix={tmp_path}/", str(fresh), str(CORPUS / target)]
    ran = subprocess.run([*command, str(CORPUS / "clients")], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    runs = next(line for line in ran.stderr.splitlines() if line.startswith("stat::number_of_executed_units"))
    assert int(runs.split()[1]) > 1000, ran.stderr[-3000:]
