from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from howdah.domain.catalog import default_catalog
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance
from howdah.domain.services import ServiceSecrets, ServiceSpec
from howdah.domain.states import HaType, PostgresVersion
from howdah.engines.local.configuration import configuration, settings, started_with
from howdah.launcher.layout import InstancePaths

SIZE = next(iter(default_catalog().sizes.values()))
SPEC = ServiceSpec(ServiceId.new(), PostgresVersion.V18, SIZE, HaType.NONE, ("a.localhost",), "CERTIFICATE", restart=3)
SECRETS = ServiceSecrets("verifier", "KEY")
INSTANCE = Instance(InstanceId.new(), SPEC.id, 20007, 270001)


def test_the_digest_names_the_content() -> None:
    first = configuration(SPEC, SECRETS, operator="root")
    assert first.digest == configuration(SPEC, SECRETS, operator="root").digest
    assert first.digest == configuration(replace(SPEC, restart=4), SECRETS, operator="root").digest
    assert first.digest != configuration(replace(SPEC, certificate="OTHER"), SECRETS, operator="root").digest
    assert first.digest != configuration(SPEC, replace(SECRETS, certificate_key="OTHER"), operator="root").digest


def test_only_tls_and_the_operators_own_socket_are_let_in() -> None:
    files = configuration(SPEC, SECRETS, operator='od"d').files
    rules = [line.split() for line in files["conf/pg_hba.conf"].decode().splitlines()]
    assert {rule[0] for rule in rules} == {"local", "hostssl"}
    peers = [["local", "replication", "postgres", "peer"], ["local", "all", "postgres", "peer"]]
    assert [rule[:4] for rule in rules if rule[3] == "peer"] == peers
    assert {rule[4] for rule in rules if rule[0] == "hostssl"} == {"scram-sha-256"}
    assert files["conf/pg_ident.conf"] == b'howdah "od""d" postgres\n'


def test_key_and_certificate_are_one_file_so_that_they_change_as_one() -> None:
    assert configuration(SPEC, SECRETS, operator="root").files["tls/server.pem"] == b"KEY\nCERTIFICATE\n"


def test_a_server_says_by_its_command_line_what_it_was_started_with() -> None:
    paths = InstancePaths(Path("/state/services/s/i"), Path("/run/howdah/0123abcd"))
    arguments = settings(SPEC, INSTANCE, paths, shared=True)
    line = tuple(f"--{name}={value}" for name, value in arguments.items())
    found = started_with(("/bin18/bin/postgres", "-D", "/state/services/s/i/data", *line))
    assert found == arguments
    assert found["howdah.restart"] == "3"
    assert found["port"] == "20007"
    assert found["ssl_min_protocol_version"] == "TLSv1.3"
    assert found["listen_addresses"] == "127.0.0.1"
    assert not any("KEY" in argument or "verifier" in argument for argument in line)
