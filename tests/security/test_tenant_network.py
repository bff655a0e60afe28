"""From inside a service: its neighbours' ports and sockets, the API, the router. From beside it: guessed keys."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from security.tenants import Ground, Tenant, needs_own_users

from howdah.launcher import egress

ANSWERS = """
import json, socket, sys
answers = {}
for place in json.loads(sys.argv[1]):
    family = socket.AF_UNIX if isinstance(place, str) else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(10)
        try:
            client.connect(place if isinstance(place, str) else tuple(place))
            answers[str(place)] = "connected"
        except OSError as error:
            answers[str(place)] = type(error).__name__
print(json.dumps(answers))
"""


def answers(tenant: Tenant, *places: str | list[object]) -> list[str]:
    said = tenant.python(ANSWERS, json.dumps(places).replace("'", ""))
    assert said.status == 0, said.text
    return list(json.loads(said.text).values())


def sockets_of(tenant: Tenant) -> tuple[str, int]:
    """The path of its Unix socket, and its port."""
    lines = (tenant.data / "postmaster.pid").read_text().splitlines()
    return f"{lines[4]}/.s.PGSQL.{lines[3]}", int(lines[3])


@needs_own_users
@pytest.mark.fault(
    what="As superuser: connecting to another service's Unix socket",
    then="Refused by the system: only that service's user and Howdah's may enter its directory",
)
def test_another_services_socket_cannot_be_reached(ground: Ground, tenant: Tenant) -> None:
    theirs, own = sockets_of(ground.neighbour)[0], sockets_of(tenant)[0]
    assert answers(tenant, own, theirs) == ["connected", "PermissionError"]


@needs_own_users
@pytest.mark.skipif(egress.missing() is not None, reason="this machine lets nobody set egress rules")
@pytest.mark.fault(
    what="As superuser: connecting to another service's port, to the API",
    then="Refused by the egress rules; where a machine has none, passwords and keys are what protects",
)
def test_another_services_port_and_the_api_refuse_it(ground: Ground, tenant: Tenant) -> None:
    api = httpx.URL(ground.server.credentials["API_URL"])
    places = [["127.0.0.1", sockets_of(one)[1]] for one in (tenant, ground.neighbour)]
    assert answers(tenant, *places, [api.host, api.port]) == ["connected", *["ConnectionRefusedError"] * 2]


@pytest.mark.fault(
    what="Keys of the API guessed from this machine, hundreds at a time",
    then="401 for each; those who have a key are answered meanwhile",
)
def test_guessing_keys_is_answered_with_401_and_hinders_nobody(ground: Ground) -> None:
    known = ground.server.credentials
    services = ground.server.services

    def guess(number: int) -> int:
        key = known["KEY_ID"] if number % 2 else f"unknown{number}"
        with httpx.Client(base_url=known["API_URL"], auth=(key, f"guess{number}"), timeout=60) as client:
            return client.get(services).status_code

    with ThreadPoolExecutor(16) as pool:
        guesses = [pool.submit(guess, number) for number in range(60)]
        for _ in range(10):
            assert ground.server.client.get(services).status_code == 200
        assert {one.result() for one in guesses} == {401}
    ground.check()


@pytest.mark.fault(
    what="As superuser: a listener on the port of its own server, after ending that",
    then="Nobody's password reaches it: the server is started again on another port, under its own certificate",
)
@needs_own_users
def test_a_listener_in_the_place_of_its_own_server_gets_nobody(tenant: Tenant) -> None:
    """Started by a process that outlives the postmaster: it ends before the next server starts, as all of them do."""
    port = sockets_of(tenant)[1]
    squat = (
        "import socket, time\n"
        "while True:\n"
        "    try:\n"
        f"        listener = socket.create_server(('127.0.0.1', {port}))\n"
        "        break\n"
        "    except OSError:\n"
        "        time.sleep(0.001)\n"
        "time.sleep(1000)\n"
    )
    (tenant.data / "squat.py").write_text(squat)
    (tenant.data / "squat.py").chmod(0o644)
    postmaster = tenant.server.postmaster(tenant.id)
    tenant.shell(f"setsid /usr/bin/python3 {tenant.data}/squat.py >/dev/null 2>&1 &")
    tenant.shell_that_ends_its_server(f"kill -9 {postmaster}; sleep 5")
    assert tenant.sql("SELECT 1") == [(1,)]
    tenant.until_running()
