"""An older copy of the store is put back, and since then servers have become something else: what was committed is
there, and where nobody can tell who is what, somebody is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fixtures.command import howdah
from fixtures.server import Server, alive
from ha.replicas import replica_of, shows
from ha.service import end, with_standbys


def copied(server: Server) -> Path:
    file = server.state.with_name("howdah.backup")
    made = howdah("system", "backup", str(file), state=server.state)
    assert made.returncode == 0, made.stderr
    return file


def put_back(server: Server, file: Path) -> None:
    """The control plane has been killed, and another one is started with the copy; all else runs on."""
    done = howdah("system", "restore", str(file), state=server.state)
    assert done.returncode == 0, done.stderr
    server.start()


def unconfirmed(server: Server) -> list[str]:
    """What doctor says of services whose roles nobody knows."""
    ran = howdah("doctor", "--json", state=server.state, HOWDAH_API_PORT="0", HOWDAH_ROUTER_PORT="0")
    return [one["said"] for one in json.loads(ran.stdout) if one["check"] == "roles"]


@pytest.mark.fault(
    what="An older copy of the store is put back; a standby took over and a read replica was promoted since",
    then="Both stay what they are, with all that was committed, and the changes are recorded",
)
def test_what_took_over_and_what_was_promoted_since_stay_what_they_are(server: Server) -> None:
    service = with_standbys(server, "async")
    replica = replica_of(service)
    service.sql("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    shows(replica, "SELECT count(*) FROM kept", 1000)
    file, former = copied(server), service.primary()
    server.call("PATCH", f"/{service.id}/state", {"command": "switchover"})
    service.wait_until_healthy(1)
    service.sql("INSERT INTO kept SELECT generate_series(1001, 2000)")
    server.call("PATCH", f"/{replica.id}/state", {"command": "promote"})
    server.wait_until(replica.id, "running")
    replica.sql("CREATE TABLE its_own AS SELECT 42 AS n")
    leader, (independent,) = service.primary(), replica.postmasters().values()
    assert leader.instance != former.instance

    with service.connect() as session:
        server.kill()
        put_back(server, file)
        service.wait_until_healthy(1)
        session.execute("INSERT INTO kept VALUES (2001)")

    assert service.primary() == leader
    assert service.sql("SELECT count(*) FROM kept") == [(2001,)]
    (change,) = service.changes()
    assert (change["kind"], change["cause"]) == ("adoption", "an older store was put back")
    assert (change["from"], change["to"]) == (former.instance, leader.instance)
    assert len(server.activities(service.id, "service_adoption")) == 1

    assert server.wait_until(replica.id, "running")["isPrimary"]
    assert list(replica.postmasters().values()) == [independent]
    assert replica.sql("SELECT n FROM its_own") == [(42,)]
    (promoted,) = server.activities(replica.id, "service_promote")
    assert promoted["actorType"] == "system"
    assert unconfirmed(server) == []


@pytest.mark.fault(
    what="An older copy of the store is put back; two servers of a service take writes",
    then="Both run on with their data; the service is unavailable and says so, until somebody has decided",
)
def test_where_nobody_can_tell_who_is_the_primary_nothing_is_done_until_somebody_says_so(server: Server) -> None:
    service = with_standbys(server, "async")
    service.sql("CREATE TABLE kept (number int)")
    file, primary, (other,) = copied(server), service.primary(), service.standbys()
    server.kill()
    with service.directly(other) as tenant:
        tenant.execute("SELECT pg_promote()")
        tenant.execute("INSERT INTO kept VALUES (1)")
    put_back(server, file)

    server.wait_until(service.id, "unavailable")
    reason = server.client.get(f"/v1/howdah/services/{service.id}").json()["result"]["reason"]
    for one in (primary, other):
        assert f"takes writes with pid {one.pid}" in reason
    assert reason.endswith("or go on as the store says: howdah services failover --accept-data-loss")
    assert unconfirmed(server) == [f"{service.id}: {reason}"]
    with service.directly(other) as tenant:
        assert tenant.execute("SELECT number FROM kept").fetchall() == [(1,)]

    service.own("POST", "failover", {"acceptDataLoss": True})
    service.wait_until_healthy(1)
    assert service.primary() == primary
    assert service.sql("SELECT number FROM kept") == []
    assert service.changes() == []


@pytest.mark.long
@pytest.mark.fault(
    what="An older copy of the store is put back; a standby took over since, and then all was stopped",
    then="The one that was the primary last is started as the primary, with all that was committed",
)
def test_the_one_that_was_the_primary_last_is_started_as_the_primary(server: Server) -> None:
    service = with_standbys(server, "async")
    service.sql("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    file, former = copied(server), service.primary()
    end(former)
    service.wait_for_change(1)
    service.wait_until_healthy(1)
    service.sql("INSERT INTO kept VALUES (1001)")
    leader = service.primary()
    server.stop_everything()

    put_back(server, file)
    service.wait_until_healthy(1)
    assert service.primary().instance == leader.instance != former.instance
    assert service.sql("SELECT count(*) FROM kept") == [(1001,)]
    assert [one["kind"] for one in service.changes()] == ["adoption"]


@pytest.mark.long
@pytest.mark.fault(
    what="An older copy of the store is put back; a standby that was made since has taken over",
    then="It runs on; the service is unavailable and says so, and doctor names the data with what to do",
)
def test_a_primary_that_the_store_does_not_know_runs_on_and_is_named(server: Server) -> None:
    service = with_standbys(server, "none")
    file, known = copied(server), service.primary()
    server.call("PATCH", f"/{service.id}", {"haType": "async"})
    service.wait_until_healthy(1)
    server.call("PATCH", f"/{service.id}/state", {"command": "switchover"})
    service.sql("CREATE TABLE kept AS SELECT 42 AS n")
    stranger = service.primary()
    assert stranger.instance != known.instance
    server.kill()
    put_back(server, file)

    server.wait_until(service.id, "unavailable")
    (said,) = unconfirmed(server)
    assert f"{known.instance} (primary by the store) stands by" in said
    assert f"{stranger.instance} is not known to it" in said
    with service.directly(stranger) as its_client:
        assert its_client.execute("SELECT n FROM kept").fetchall() == [(42,)]

    service.own("POST", "failover", {"acceptDataLoss": True})
    server.wait_until(service.id, "running")
    assert service.primary().instance == known.instance
    assert alive(stranger.pid)
