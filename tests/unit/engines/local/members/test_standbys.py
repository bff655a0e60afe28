"""What becomes of standbys, and what commits wait for: one rule after another, each where it matters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from unit.engines.local.members.plane import heal
from unit.engines.local.members.scenes import commit, cut_off, noted, services, settle_and_judge, suspend

from howdah.domain.states import HaType

# -- standbys that hang, and those whose data go


def test_a_standby_that_hangs_is_started_again_with_its_data() -> None:
    world, plane, (primary, hangs, _) = services(HaType.SYNC)
    assert hangs.process is not None
    before, hangs.process.hangs = hangs.process.pid, True
    commit(world, primary)
    plane.until("Kill")
    plane.until("Start")
    assert hangs.data
    assert hangs.process.pid != before
    assert heal(world, plane)


def test_a_standby_that_hangs_is_started_again_and_asked_when_the_primary_is_lost() -> None:
    world, plane, (primary, hangs, _) = services(HaType.SYNC)
    commit(world, primary, hangs)
    assert hangs.process is not None
    hangs.process.hangs = True
    world.lose_data(primary)
    plane.until("Start")
    world.open(hangs)
    plane.until("promoted")
    assert world.primary() is hangs


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
