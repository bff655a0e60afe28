"""What the planner of a service's servers keeps to, one rule after another, each where it matters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from unit.engines.local.members.plane import Plane, heal
from unit.engines.local.members.servers import Server
from unit.engines.local.members.world import World, settled

from howdah.domain.errors import Unavailable
from howdah.domain.instances import Instance
from howdah.domain.states import HaType
from howdah.engines.local.members import failover
from howdah.engines.local.members.positions import Placed


def noted(server: Server) -> Instance:
    assert server.registered is not None
    return server.registered


def services(ha_type: HaType) -> tuple[World, Plane, list[Server]]:
    """With its primary first, and the standbys in the order of their ids."""
    world = settled(ha_type)
    return world, Plane(world), list(world.servers.values())


def commit(world: World, leader: Server, *standbys: Server) -> None:
    """One that only these standbys receive."""
    world.commit(leader)
    for standby in standbys:
        world.ship(standby)


def suspend(server: Server) -> None:
    assert server.process is not None
    server.process.suspended = True


def cut_off(server: Server) -> None:
    """It has begun a timeline of its own, and follows nobody any more."""
    server.newest = 9


def settle_and_judge(*useless: int) -> tuple[World, Plane, list[Server]]:
    """With ``sync``, and such standbys that have to be copied anew, by their numbers."""
    world, plane, servers = services(HaType.SYNC)
    world.judged.update(useless)
    return world, plane, servers


# -- who may become the primary


def test_nobody_takes_over_while_a_standby_that_may_have_a_commit_cannot_be_asked() -> None:
    world, plane, (primary, suspended, other) = services(HaType.SYNC)
    commit(world, primary, suspended)
    suspend(suspended)
    world.lose_data(primary)
    assert world.view().candidates == []
    for _ in plane.go_on():
        assert not other.writes
    assert world.changes == 0


def test_nobody_takes_over_when_a_standby_dies_before_it_has_said_what_it_has() -> None:
    world, plane, (primary, furthest, _) = services(HaType.SYNC)
    commit(world, primary, furthest)
    world.end(primary, asked=False)
    plane.until("fenced")
    world.end(furthest, asked=False)
    plane.step()
    plane.step()
    assert world.changes == 0
    view = world.view()
    with pytest.raises(Unavailable, match="does not say how far it is"):
        failover._furthest(view, [Placed(view.standbys[1], 0)])


def test_the_standby_that_has_most_takes_over() -> None:
    world, plane, (primary, _, furthest) = services(HaType.SYNC)
    commit(world, primary, furthest)
    world.end(primary, asked=False)
    plane.until("promoted")
    assert world.primary() is furthest


def test_one_that_has_not_joined_does_not_lead() -> None:
    world, plane, (primary, copied, joined) = services(HaType.SYNC)
    world.put(copied, replace(noted(copied), joined=False))
    world.end(primary, asked=False)
    plane.until("promoted")
    assert world.primary() is joined


def test_a_switchover_waits_for_a_standby_that_has_everything() -> None:
    world, plane, (primary, lacking, whole) = services(HaType.SYNC)
    world.switchover = 1
    plane.until("prepared")
    commit(world, primary, whole)
    plane.until("promoted")
    assert world.primary() is whole
    assert lacking.wal != whole.wal


def test_a_switchover_for_which_no_standby_has_everything_leaves_the_primary_what_it_is() -> None:
    world, plane, (primary, *_) = services(HaType.SYNC)
    world.switchover = 1
    plane.until("prepared")
    commit(world, primary)
    plane.until("stopped")
    plane.until("Start")
    assert world.primary() is primary
    assert world.changes == 0


def test_nobody_takes_over_from_a_primary_that_may_be_ahead_of_all_others() -> None:
    world, plane, (primary, ahead, lacking) = services(HaType.SYNC)
    commit(world, primary, ahead)
    world.end(primary, asked=False)
    plane.until("promoted")
    assert world.primary() is ahead
    world.end(ahead, asked=False)
    assert world.view().candidates == []
    for _ in plane.go_on():
        assert not lacking.writes
    assert world.changes == 1


# -- how a failover goes


def test_nothing_is_noted_before_the_former_primary_is_fenced() -> None:
    world, plane, (primary, *_) = services(HaType.SYNC)
    suspend(primary)
    plane.until("noted")
    assert primary.process is None


def test_the_former_primary_counts_no_more_and_is_copied_anew() -> None:
    world, plane, (primary, *_) = services(HaType.SYNC)
    commit(world, primary)
    world.end(primary, asked=False)
    plane.until("noted")
    assert not noted(primary).joined
    assert heal(world, plane)
    assert primary.wal == world.primary_wal() == ()


def test_the_successor_of_one_whose_commits_waited_has_commits_that_wait() -> None:
    world, plane, (primary, successor, _) = services(HaType.SYNC)
    world.end(primary, asked=False)
    plane.until("noted")
    assert noted(successor).waits


def test_what_was_noted_as_the_primary_becomes_it_after_a_kill() -> None:
    world, plane, (primary, successor, _) = services(HaType.SYNC)
    world.end(primary, asked=False)
    plane.until("noted")
    plane.kill()
    plane.until("promoted")
    assert world.primary() is successor
    assert successor.writes


def test_one_that_died_while_it_became_the_primary_begins_as_the_standby_that_it_was() -> None:
    world, plane, (primary, successor, _) = services(HaType.SYNC)
    world.end(primary, asked=False)
    plane.until("begins to become the primary")
    world.end(successor, asked=False)
    plane.kill()
    plane.until("Start")
    assert successor.process is not None
    assert successor.process.following
    assert heal(world, plane)


# -- standbys whose data go


@pytest.mark.parametrize("ha_type", [HaType.ASYNC, HaType.SYNC])
def test_no_data_of_a_standby_are_deleted_while_no_primary_is_up(ha_type: HaType) -> None:
    world, plane, (primary, *standbys) = services(ha_type)
    for standby in standbys:
        suspend(standby)
        world.judged.add(standby.number)
    world.lose_data(primary)
    for _ in plane.go_on():
        assert all(one.data for one in standbys)


def test_data_of_a_standby_are_deleted_only_when_another_one_has_what_it_may_have_acknowledged() -> None:
    world, plane, (primary, leaving, other) = services(HaType.SYNC)
    commit(world, primary, leaving)
    world.judged.add(leaving.number)
    for _ in plane.go_on():
        assert leaving.data
        assert noted(leaving).joined
    world.ship(other)
    plane.until("Discard")
    assert world.acknowledged <= set(other.wal)


def test_a_standby_counts_no_more_before_its_data_are_deleted() -> None:
    _, plane, (_, leaving, _) = settle_and_judge(1)
    plane.until("does not count")
    assert leaving.data
    plane.kill()
    plane.until("Discard")
    assert not noted(leaving).joined


def test_standbys_that_all_have_to_be_copied_anew_do_not_wait_for_each_other() -> None:
    world, plane, (primary, *standbys) = settle_and_judge(1, 2)
    for standby in standbys:
        cut_off(standby)
    commit(world, primary)
    assert heal(world, plane)
    assert all(one.wal == primary.wal for one in standbys)


# -- how many there are, and what commits wait for


def test_there_are_no_more_standbys_than_are_wanted_though_one_does_not_join() -> None:
    world, plane, (_, lost, _) = services(HaType.SYNC)
    world.lose_data(lost)
    for _ in plane.go_on():
        assert len(world.members()) == 3


def test_commits_stop_waiting_before_standbys_go() -> None:
    world, plane, (primary, *_) = services(HaType.SYNC)
    world.ha_type = HaType.NONE
    plane.until("fenced a standby")
    assert not noted(primary).waits
    assert primary.process is not None
    waits, _ = primary.process.config
    assert not waits


def test_of_two_standbys_the_one_that_has_joined_stays() -> None:
    world, plane, (_, joined, copied) = services(HaType.SYNC)
    world.put(copied, replace(noted(copied), joined=False))
    world.ha_type = HaType.ASYNC
    plane.until("deleted")
    plane.step()
    assert joined in world.members()
    assert copied not in world.members()


def test_that_commits_wait_is_noted_only_when_they_would_on_a_standby_that_took_over() -> None:
    world, plane, (primary, *standbys) = services(HaType.SYNC)
    world.put(primary, replace(noted(primary), waits=False))
    for server in (primary, *standbys):
        assert server.process is not None
        server.file = server.process.config = (False, frozenset())
    plane.until("noted whether commits wait")
    assert noted(primary).waits
    assert [server.process.config[0] for server in world.members() if server.process] == [True, True, True]


def test_that_commits_wait_is_noted_only_when_a_standby_has_what_was_committed_before() -> None:
    world, plane, (primary, one, _) = services(HaType.SYNC)
    world.put(primary, replace(noted(primary), waits=False))
    commit(world, primary)
    for _ in plane.go_on():
        assert not noted(primary).waits
    world.ship(one)
    plane.until("noted whether commits wait")
    assert noted(primary).waits
