"""Who may become the primary, and how: one rule after another, each where it matters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from unit.engines.local.members.plane import heal
from unit.engines.local.members.scenes import commit, noted, services, suspend

from howdah.domain.errors import Unavailable
from howdah.domain.states import HaType
from howdah.engines.local.members import failover, plan
from howdah.engines.local.members.positions import Placed

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


@pytest.mark.parametrize("asked", [0, 1])
def test_the_primary_stays_what_it_is_while_the_disk_is_full(asked: int) -> None:
    world, plane, (primary, *standbys) = services(HaType.SYNC)
    world.full, world.switchover = True, asked
    if not asked:
        world.end(primary, asked=False)
        assert "until there is room no standby can take over" in (plan.explain(world.view()) or "")
    for _ in plane.go_on():
        assert world.primary() is primary
        assert all(one.data for one in standbys)
    assert plan.explain(world.view()) is None
    assert primary.writes


# -- how a failover goes


def test_nothing_is_noted_before_the_former_primary_is_fenced() -> None:
    _, plane, (primary, *_) = services(HaType.SYNC)
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
