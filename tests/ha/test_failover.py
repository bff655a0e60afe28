"""What happens to a service with standbys when its primary fails: with real servers, a client that writes all the time,
and every server asked all the time whether it takes writes."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress

import psycopg
import pytest
from fixtures.server import Server, alive, eventually, kill_and_wait

from ha.service import HaService, end, suspend, watched, with_standbys, writing
from howdah.domain.names import read_only
from howdah.domain.states import HaType
from howdah.engines.local.members.plan import CRASHES


def empty(service: HaService) -> None:
    """The primary's data directory loses everything that is in it, as by a tenant's rm -rf."""
    data = service.data(service.primary().instance)
    while entries := list(data.iterdir()):  # It goes on to write meanwhile.
        for entry in entries:
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def crash_loop(service: HaService) -> None:
    """Backends of the primary die of SIGSEGV again and again; each time all of it recovers."""
    leader, crashed = service.primary(), 0
    while crashed < CRASHES:
        try:
            with service.directly(leader) as connection:
                os.kill(connection.info.backend_pid, signal.SIGSEGV)
                crashed += 1
                connection.execute("SELECT 1")
        except (psycopg.Error, ProcessLookupError):
            continue


FAULTS: dict[str, tuple[Callable[[HaService], None], str]] = {
    "killed": (lambda service: end(service.primary()), "the server"),
    "suspended": (lambda service: suspend(service.primary()), "suspended"),
    "emptied": (empty, ""),  # It ends by itself, or is found before that.
    "crashing": (crash_loop, "crash"),
}


@pytest.mark.parametrize(
    ("fault", "ha_type", "version"),
    [
        ("killed", "sync", "17"),
        ("suspended", "sync", "18"),
        ("emptied", "async", "18"),
        pytest.param("crashing", "sync", "17", marks=pytest.mark.long),
        pytest.param("killed", "async", "18", marks=pytest.mark.long),
        pytest.param("killed", "sync", "18", marks=pytest.mark.long),
        pytest.param("emptied", "sync", "17", marks=pytest.mark.long),
    ],
)
@pytest.mark.fault(
    "The primary of a service with standbys is killed, suspended, loses its data directory, or crashes again and again",
    "a standby takes over; with `sync` no acknowledged commit is lost; the former primary is made anew by itself",
)
def test_another_server_takes_over(server: Server, fault: str, ha_type: str, version: str) -> None:
    service = with_standbys(server, ha_type, postgresVersion=version)
    former = service.primary().instance
    with writing(service) as writer, watched(service):
        FAULTS[fault][0](service)
        change = service.wait_for_change(1)
        writer.goes_on()
        service.wait_until_healthy(HaType(ha_type).standbys)
    assert (change["kind"], change["from"]) == ("failover", former)
    assert FAULTS[fault][1] in change["cause"]
    assert min(change["fencingMs"], change["promotionMs"], change["firstWriteMs"]) > 0
    assert service.server.get(service.id)["hostname"] == service.service["hostname"]
    (told,) = service.server.activities(service.id, "service_failover")
    assert told["changes"].startswith(f"{change['cause']}; from {former} to {change['to']} at LSN ")
    if ha_type == "sync":
        assert change["lostBytes"] == 0
        assert writer.missing() == []


@pytest.mark.fault(
    "The primary of a service with standbys is killed together with the control plane",
    "there is no failover while no control plane runs; the next one brings the service back, and nothing is lost",
)
def test_a_failover_that_no_control_plane_sees_loses_nothing(server: Server) -> None:
    service = with_standbys(server, "sync")
    with writing(service) as writer, watched(service):
        server.kill()
        end_of = service.server.state / "services" / service.id
        leader = next(
            path.parent.parent.name
            for path in end_of.glob("*/data/postmaster.pid")
            if not (path.parent / "standby.signal").exists()
        )
        os.kill(int((end_of / leader / "data" / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
        server.start()
        writer.goes_on()
        service.wait_until_healthy(2)
    assert writer.missing() == []


@pytest.mark.fault(
    "A standby of a service with `sync` is killed, suspended or loses its data",
    "the service goes on without an error; the standby comes back by itself, a suspended one once it has not answered"
    " two questions",
)
def test_a_lost_standby_is_not_noticed_by_clients_and_comes_back(server: Server) -> None:
    service = with_standbys(server, "sync")
    with writing(service) as writer, watched(service):
        suspended, lost = service.standbys()
        suspend(suspended)
        writer.goes_on()
        kill_and_wait(lost.pid)
        end(service.wait_until_streaming(lost.instance))
        shutil.rmtree(service.data(lost.instance) / "base", ignore_errors=True)  # It may be being started again.
        eventually("the suspended one is ended", lambda: not alive(suspended.pid), within=60)
        service.wait_until_healthy(2)
    assert writer.errors == []
    assert writer.missing() == []
    assert service.changes() == []


@pytest.mark.long
@pytest.mark.fault(
    "A standby is promoted from inside, by its tenant",
    "it is fenced before its name reaches anybody, and made anew",
)
def test_a_standby_that_its_tenant_promotes_is_made_anew(server: Server) -> None:
    service = with_standbys(server, "async")
    (standby,) = service.standbys()
    with service.directly(standby) as connection:
        connection.execute("SELECT pg_promote(false)")
    eventually("it is ended", lambda: all(one.pid != standby.pid for one in service.standbys()))
    service.wait_until_healthy(1)
    assert service.changes() == []
    service.sql("CREATE TABLE after_all (number int)")
    eventually(
        "it follows again",
        lambda: service.sql("SELECT to_regclass('after_all')", host=read_only(service.service["hostname"]))[0][0],
    )


@pytest.mark.fault(
    "The primary of a service with `sync` is lost while a standby cannot be asked what it has",
    "the service is `unavailable`, with the reason and the command that accepts the loss, until one of them comes back",
)
def test_without_a_standby_that_has_everything_nobody_takes_over(server: Server) -> None:
    service = with_standbys(server, "sync")
    service.sql("CREATE TABLE kept AS SELECT 1 AS number")
    broken, _ = service.standbys()
    control = service.data(broken.instance) / "global" / "pg_control"
    control.rename(aside := control.with_name("aside"))  # It cannot start without.
    end(broken)
    empty(service)
    end(service.primary())
    found = service.server.wait_until(service.id, "unavailable")
    assert found["state"] == "unavailable"

    def is_explained() -> bool:  # Now and then its reason is how the present try to start the primary goes.
        reason = server.client.get(f"/v1/howdah/services/{service.id}").json()["result"]["reason"]
        return "howdah services failover --accept-data-loss" in (reason or "")

    eventually("it says what can be done", is_explained)
    assert service.changes() == []
    service.own("POST", "failover", {"acceptDataLoss": True})
    service.wait_for_change(1)
    with suppress(FileNotFoundError):  # It is copied anew by then, perhaps.
        aside.rename(control)
    service.wait_until_healthy(2)
    assert service.sql("SELECT number FROM kept") == [(1,)]
