"""Where a service may connect to, and on what port it may answer."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from security.network import HERE, METADATA, THERE, Network, connect, echo_server

from howdah.launcher import egress

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a network of its own"),
    pytest.mark.skipif(
        shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin:/bin") is None, reason="nft is not installed"
    ),
]

OWNER, TENANT, OTHER, NOBODY = "a1b2c3d4", 270001, 270002, 65534
OWN_PORT, OTHER_PORT, ROUTER_PORT, API_PORT = 20001, 20002, 5432, 8686
LOCAL = ("127.0.0.1", "127.0.0.2", "::1", *HERE)
REFUSED, UNREACHABLE = "ECONNREFUSED", "EHOSTUNREACH"


@pytest.fixture
def network() -> Iterator[Network]:
    with Network().plugged_in() as network:
        yield network


@pytest.fixture
def rules(network: Network) -> Network:
    """TENANT and OTHER are held to the rules of one Howdah."""
    egress.install(OWNER, [ROUTER_PORT])
    egress.allow(OWNER, {TENANT: [OWN_PORT], OTHER: [OTHER_PORT]})
    return network


def ruleset() -> str:
    return subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True).stdout


def hears_echo(address: str, port: int) -> bool:
    with socket.create_connection((address, port), timeout=20) as client:
        client.sendall(b"hello")
        return client.recv(100) == b"hello"


@pytest.mark.parametrize("address", LOCAL)
def test_on_this_machine_a_service_reaches_itself_and_the_router_only(rules: Network, address: str) -> None:
    for port in (OWN_PORT, OTHER_PORT, ROUTER_PORT, API_PORT):
        rules.listen(address, port)
    reached = {port: connect(TENANT, address, port) for port in (OWN_PORT, OTHER_PORT, ROUTER_PORT, API_PORT)}
    assert reached == {OWN_PORT: "", OTHER_PORT: REFUSED, ROUTER_PORT: "", API_PORT: REFUSED}
    assert connect(OTHER, address, OTHER_PORT) == ""
    assert connect(NOBODY, address, API_PORT) == ""


def test_its_own_port_as_the_source_opens_no_other_one(rules: Network) -> None:
    rules.listen("127.0.0.1", OTHER_PORT)
    source = f"127.0.0.2:{OWN_PORT}"
    assert connect(NOBODY, "127.0.0.1", OTHER_PORT, source=source) == ""
    assert connect(TENANT, "127.0.0.1", OTHER_PORT, source=source) == REFUSED


def test_datagrams_reach_name_servers_only(rules: Network) -> None:
    for address in ("127.0.0.53", "::1"):
        for port in (53, 514):
            rules.receive(address, port)
        assert connect(NOBODY, address, 514, kind="SOCK_DGRAM") == ""
        assert connect(TENANT, address, 514, kind="SOCK_DGRAM") != ""
        assert connect(TENANT, address, 53, kind="SOCK_DGRAM") == ""


@pytest.mark.parametrize("address", METADATA)
def test_the_clouds_metadata_is_out_of_reach_but_not_its_name_server(rules: Network, address: str) -> None:
    for port in (53, 80):
        rules.listen_there(address, port)
    assert connect(NOBODY, address, 80) == ""
    assert connect(TENANT, address, 80) in (REFUSED, UNREACHABLE)
    assert connect(TENANT, address, 53) == ""


@pytest.mark.parametrize("address", THERE)
def test_other_machines_are_within_reach(rules: Network, address: str) -> None:
    rules.listen_there(address, 5432)
    rules.listen_there(address, 443)
    assert (connect(TENANT, address, 5432), connect(TENANT, address, 443)) == ("", "")


def test_a_server_answers_its_clients(rules: Network) -> None:
    with echo_server(TENANT, "127.0.0.1", OWN_PORT):
        assert hears_echo("127.0.0.1", OWN_PORT)


@pytest.mark.parametrize(
    ("address", "port"), [("127.0.0.1", OTHER_PORT), ("::1", API_PORT), (HERE[0], ROUTER_PORT), (HERE[1], OTHER_PORT)]
)
def test_who_listens_where_another_was_hears_nobody(network: Network, address: str, port: int) -> None:
    egress.install(OWNER, [ROUTER_PORT])
    with echo_server(TENANT, address, port):
        assert hears_echo(address, port)
        egress.allow(OWNER, {TENANT: [OWN_PORT]})
        with pytest.raises(TimeoutError):
            socket.create_connection((address, port), timeout=0.5)


@pytest.mark.parametrize(("address", "port"), [("127.0.0.1", OTHER_PORT), (HERE[0], ROUTER_PORT)])
def test_a_connection_that_a_squatter_already_has_is_ended(network: Network, address: str, port: int) -> None:
    """As with SYN cookies, by which a connection can come to be without an answer that can be told to be its own."""
    egress.install(OWNER, [ROUTER_PORT])
    with echo_server(TENANT, address, port), network.from_there() if address in HERE else socket.socket() as client:
        client.connect((address, port))
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        egress.allow(OWNER, {TENANT: [OWN_PORT]})
        client.sendall(b"secret")
        client.settimeout(0.5)
        with pytest.raises((TimeoutError, ConnectionError)):
            client.recv(100)


def test_nobody_outside_is_answered(rules: Network) -> None:
    with echo_server(TENANT, HERE[0], 6000), rules.from_there() as outside:
        outside.settimeout(0.5)
        with pytest.raises(TimeoutError):
            outside.connect((HERE[0], 6000))


def test_two_howdahs_of_one_machine_keep_out_of_each_others_way(rules: Network) -> None:
    egress.install("second", [ROUTER_PORT + 1])
    egress.allow("second", {270003: [20003]})
    for port in (ROUTER_PORT, ROUTER_PORT + 1):
        rules.listen("127.0.0.1", port)
    assert connect(TENANT, "127.0.0.1", ROUTER_PORT) == ""
    assert connect(TENANT, "127.0.0.1", ROUTER_PORT + 1) == REFUSED
    assert connect(270003, "127.0.0.1", ROUTER_PORT + 1) == ""
    assert connect(270003, "127.0.0.1", ROUTER_PORT) == REFUSED
    egress.uninstall("second")
    assert egress.guarded() == {TENANT, OTHER}
    assert "second" not in ruleset()
    egress.uninstall("second")


def test_said_again_the_rules_are_the_same(rules: Network) -> None:
    before = ruleset()
    egress.install(OWNER, [ROUTER_PORT])
    egress.allow(OWNER, {TENANT: [OWN_PORT]})
    assert ruleset() == before
    assert before.count("table") == 1


def test_the_routers_new_port_replaces_its_old_one_for_those_that_run(rules: Network) -> None:
    egress.install(OWNER, [6543])
    for port in (ROUTER_PORT, 6543):
        rules.listen("127.0.0.1", port)
    assert (connect(TENANT, "127.0.0.1", ROUTER_PORT), connect(TENANT, "127.0.0.1", 6543)) == (REFUSED, "")


def test_an_os_user_belongs_to_who_started_a_server_with_it_last(rules: Network) -> None:
    egress.install("second", [])
    egress.allow("second", {TENANT: [20009]})
    for port in (OWN_PORT, 20009, ROUTER_PORT):
        rules.listen("127.0.0.1", port)
    reached = [connect(TENANT, "127.0.0.1", port) for port in (OWN_PORT, 20009, ROUTER_PORT)]
    assert reached == [REFUSED, "", REFUSED]


def test_a_removed_service_leaves_nothing_and_the_others_as_they_were(rules: Network) -> None:
    egress.remove([TENANT, 279999])
    assert egress.guarded() == {OTHER}
    assert str(TENANT) not in ruleset()
    rules.listen("127.0.0.1", API_PORT)
    assert connect(OTHER, "127.0.0.1", API_PORT) == REFUSED
    assert connect(TENANT, "127.0.0.1", API_PORT) == ""


def test_after_a_firewall_was_reloaded_the_next_start_brings_the_rules_back(rules: Network) -> None:
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    with pytest.raises(OSError, match="No such file or directory"):
        egress.guarded()
    egress.allow(OWNER, {TENANT: [OWN_PORT]}, [ROUTER_PORT])
    for port in (API_PORT, ROUTER_PORT):
        rules.listen("127.0.0.1", port)
    assert (connect(TENANT, "127.0.0.1", API_PORT), connect(TENANT, "127.0.0.1", ROUTER_PORT)) == (REFUSED, "")


def test_whether_there_can_be_rules_is_found_out_without_making_any(
    network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert egress.missing() is None
    assert ruleset() == ""
    monkeypatch.setattr(egress, "_PATH", str(tmp_path))
    assert egress.missing() == "nft not found; apt-get install nftables"
    with pytest.raises(OSError, match="apt-get install nftables"):
        egress.install(OWNER, [ROUTER_PORT])
    (tmp_path / "nft").write_text(
        "#!/bin/sh\necho 'Error: Could not process rule: Operation not permitted' >&2\nexit 1"
    )
    (tmp_path / "nft").chmod(0o755)
    assert egress.missing() == "nft refuses the egress rules: Error: Could not process rule: Operation not permitted"
