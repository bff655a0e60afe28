"""An older store was put back: who of a service's servers is what, one rule after another."""

from __future__ import annotations

from dataclasses import replace

import pytest
from unit.engines.local.members.plane import Plane, heal, put_back
from unit.engines.local.members.scenes import commit, noted, services
from unit.engines.local.members.servers import SERVICE, Server, identifier
from unit.engines.local.members.world import World

from howdah.domain.instances import Instance, Role
from howdah.domain.states import HaType
from howdah.engines.local.members.comparing import (
    Adopt,
    Agree,
    Last,
    Promoted,
    Undecided,
    Verdict,
    by_files,
    by_servers,
    confirmed,
)
from howdah.engines.local.members.view import Member, View
from howdah.engines.local.observed import Observed, Phase, Running, Wanted

RUNNING = Running(10, 99, Phase.READY, 20001, 1, "new")
STANDS_BY = replace(RUNNING, standing_by=True, upstream="20001")
TAKEN_OVER = replace(RUNNING, upstream="20001")
RECOVERS = replace(RUNNING, phase=Phase.STARTING, upstream="20001")
ENDS = replace(RUNNING, phase=Phase.STOPPING)
LED, FOLLOWED = Last(led=True, timeline=1), Last(led=False, timeline=1)


def took_over_since(ha_type: HaType) -> tuple[World, Plane, Server, Server]:
    """A copy was made, and the primary died after that: with its successor."""
    world, plane, (primary, *_) = services(ha_type)
    world.copy()
    world.end(primary, asked=False)
    plane.until("promoted")
    successor = world.primary()
    assert successor is not None
    world.commit(successor)
    return world, plane, primary, successor


def nothing_happens(world: World, plane: Plane) -> None:
    before = {one.number: one.process and one.process.pid for one in world.servers.values()}
    data = [one.number for one in world.servers.values() if one.data]
    for _ in range(20):
        plane.step()
        assert {one.number: one.process and one.process.pid for one in world.servers.values()} == before
        assert [one.number for one in world.servers.values() if one.data] == data
    assert world.unconfirmed


def judge(
    *seen: Running | None,
    lasts: tuple[Last | None, ...] = (),
    strangers: tuple[str, ...] = (),
    replica: bool = False,
    data: bool = True,
    accept_loss: int = 0,
) -> Verdict:
    """Of servers, the stored primary first, and what their data directories say."""
    members: list[Member] = []
    for number, running in enumerate(seen):
        role = Role.STANDBY if number else Role.PRIMARY
        instance = Instance(identifier(number), SERVICE, 20000 + number, None, role, bool(number))
        members.append(Member(instance, Observed(instance, True, data, "new", running), Wanted(1, 1, "new")))
    view = View(HaType.ASYNC, members, accept_loss=accept_loss)
    known = {identifier(number): last for number, last in enumerate(lasts) if last is not None}
    return by_servers(view, known, replica=replica) or by_files(view, known, strangers, replica=replica)


def adopted(verdict: Verdict) -> int:
    """The number of the server that is to be the primary."""
    assert isinstance(verdict, Adopt)
    return verdict.leader.instance.port - 20000


# -- what runs decides


@pytest.mark.parametrize("ha_type", [HaType.ASYNC, HaType.SYNC])
def test_the_one_that_took_over_since_stays_the_primary_with_all_that_it_has(ha_type: HaType) -> None:
    world, plane, former, successor = took_over_since(ha_type)
    process, wal = successor.process, successor.wal
    put_back(world, plane)
    assert world.primary() is former
    plane.until("adopted")
    assert (world.primary(), world.changes) == (successor, 1)
    assert heal(world, plane)
    assert successor.process is process
    assert successor.wal == former.wal == wal


def test_where_the_primary_is_the_one_of_the_store_all_goes_on() -> None:
    world, plane, (primary, *_) = services(HaType.SYNC)
    world.copy()
    put_back(world, plane)
    plane.until("confirmed", most=3)
    assert (world.primary(), world.changes) == (primary, 0)


def test_nobody_takes_over_before_a_standby_has_what_may_have_been_acknowledged_meanwhile() -> None:
    world, plane, (primary, *_) = services(HaType.SYNC)
    world.copy()
    assert primary.process is not None
    primary.process.config = (False, frozenset())  # Its commits did not wait since.
    commit(world, primary)
    put_back(world, plane)
    plane.until("confirmed")
    world.end(primary, asked=False)
    for _ in plane.go_on():
        assert world.primary() is primary


def test_one_that_stands_by_has_joined_whatever_the_store_says() -> None:
    world, plane, (primary, standby, _) = services(HaType.SYNC)
    world.put(standby, replace(noted(standby), joined=False))
    world.copy()
    world.put(standby, replace(noted(standby), joined=True))
    commit(world, primary, standby)
    put_back(world, plane)
    plane.until("confirmed")
    assert noted(standby).joined


@pytest.mark.parametrize(("timeline", "joined"), [(1, False), (2, True)])
def test_one_that_has_ended_has_joined_when_that_was_on_the_newest_timeline(timeline: int, joined: bool) -> None:
    world, _, (primary, leader, ended) = services(HaType.SYNC)
    assert leader.process is not None
    world.end(ended, asked=True)
    lasts = {
        noted(primary).id: FOLLOWED,
        noted(leader).id: Last(led=True, timeline=2),
        noted(ended).id: Last(led=False, timeline=timeline),
    }
    view = world.view()
    _, others = confirmed(view, next(one for one in view.members if one.instance.id == noted(leader).id), lasts)
    assert {one.id: one.joined for one in others}[noted(ended).id] is joined


def test_one_that_is_started_as_the_primary_is_the_primary() -> None:
    assert judge(replace(RUNNING, phase=Phase.STARTING), STANDS_BY) == Agree()


def test_while_another_one_may_have_been_the_primary_before_it_crashed_one_waits() -> None:
    assert isinstance(judge(RECOVERS, TAKEN_OVER), Undecided)
    assert adopted(judge(STANDS_BY, TAKEN_OVER)) == 1


# -- where none runs as a primary, data directories decide


def test_the_one_that_was_the_primary_last_is_started_as_that() -> None:
    world, plane, _, successor = took_over_since(HaType.ASYNC)
    wal = successor.wal
    for server in world.servers.values():
        world.end(server, asked=False)
    put_back(world, plane)
    plane.until("adopted")
    assert heal(world, plane)
    assert world.primary() is successor
    assert successor.wal == wal


def test_it_is_the_only_one_that_led_on_the_newest_timeline() -> None:
    led = Last(led=True, timeline=2)
    assert judge(None, None, lasts=(LED, FOLLOWED)) == Agree()
    assert judge(None, STANDS_BY, lasts=(LED, FOLLOWED)) == Agree()
    assert adopted(judge(None, None, lasts=(LED, led))) == 1
    assert adopted(judge(STANDS_BY, None, lasts=(FOLLOWED, led))) == 1
    assert isinstance(judge(None, None, lasts=(LED, replace(led, led=False))), Undecided)
    assert isinstance(judge(None, None, lasts=(LED, LED)), Undecided)
    assert isinstance(judge(None, None, lasts=(FOLLOWED, FOLLOWED)), Undecided)


def test_where_one_cannot_be_read_nobody_can_tell() -> None:
    assert isinstance(judge(None, None, lasts=(LED, None)), Undecided)


def test_what_has_no_data_anywhere_has_nothing_to_lose() -> None:
    assert judge(None, None, data=False) == Agree()


def test_a_server_alone_is_what_the_store_says() -> None:
    for running in (None, RUNNING, STANDS_BY, ENDS):
        assert judge(running) == Agree()


# -- where nobody can tell


def test_where_two_take_writes_nothing_is_done_until_somebody_says_so() -> None:
    world, plane, (primary, other) = services(HaType.ASYNC)
    world.copy()
    put_back(world, plane)
    world.promote(other)  # By its tenant.
    nothing_happens(world, plane)
    world.accept_loss = 1
    while world.unconfirmed:
        plane.step()
    assert world.primary() is primary
    assert other.process is None, "there are never two primaries"
    assert heal(world, plane)


@pytest.mark.parametrize("leads", [False, True])
def test_a_server_that_the_store_does_not_know_may_be_the_primary(leads: bool) -> None:
    world, plane, primary, stranger = took_over_since(HaType.ASYNC)
    assert world.copied is not None
    world.copied.registered.pop(stranger.number)
    if not leads:
        world.end(stranger, asked=False)
    put_back(world, plane)
    nothing_happens(world, plane)
    assert world.primary() is primary


def test_what_is_known_of_each_is_said() -> None:
    verdict = judge(STANDS_BY, None, lasts=(FOLLOWED, FOLLOWED), strangers=("another",))
    assert isinstance(verdict, Undecided)
    assert verdict.why == (
        f"an older store was put back, and which server is the primary is not known: {identifier(0)} (primary by the"
        f" store) stands by with pid 10, {identifier(1)} (standby by the store) does not run, and was a standby on"
        " timeline 1, another is not known to it; look for what it has in the servers that are not known (howdah"
        " doctor); or go on as the store says: howdah services failover --accept-data-loss"
    )


# -- read replicas


def test_a_replica_that_takes_writes_was_promoted() -> None:
    assert judge(TAKEN_OVER, replica=True) == Promoted()
    assert judge(RUNNING, strangers=("another",), replica=True) == Promoted()
    assert judge(None, lasts=(LED,), replica=True) == Promoted()


def test_a_replica_that_stands_by_follows_as_before() -> None:
    assert judge(STANDS_BY, replica=True) == Agree()
    assert judge(None, lasts=(FOLLOWED,), replica=True) == Agree()
    assert judge(None, data=False, replica=True) == Agree()


def test_of_a_replica_of_which_nobody_can_tell_nothing_is_deleted() -> None:
    for running in (RECOVERS, ENDS, replace(RUNNING, phase=Phase.STARTING), None):
        assert isinstance(judge(running, replica=True), Undecided)
        assert judge(running, replica=True, accept_loss=1) == Agree()
    assert isinstance(judge(STANDS_BY, strangers=("another",), replica=True), Undecided)
