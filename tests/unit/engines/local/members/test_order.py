"""A change of the primary and the end of a standby, step by step as they are done: in an order in which a kill between
any two steps loses nothing. A ``Log`` stands for the machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from unit.engines.local.members.world import settled

from howdah.domain.errors import Unavailable
from howdah.domain.failovers import RoleChange
from howdah.domain.instances import Instance
from howdah.domain.states import HaType
from howdah.engines.local.machine import Machine
from howdah.engines.local.members import failover, leaving
from howdah.engines.local.members.copies import Copies
from howdah.engines.local.members.failover import Known
from howdah.engines.local.members.membership import slot_of
from howdah.engines.local.members.positions import Placed
from howdah.engines.local.members.replication import Sending, Sent
from howdah.engines.local.members.view import Member, View

FLUSHED = 100


@dataclass
class Log:
    """What was done, in that order. fenced: whether all processes of a server end. sent: until where each standby has
    what the primary has, by name. shut_down: the last record of a primary that was stopped."""

    done: list[str] = field(default_factory=list[str])
    fenced: bool = True
    sent: dict[str, int] = field(default_factory=dict[str, int])
    shut_down: int | None = FLUSHED
    instances: dict[str, Instance] = field(default_factory=dict[str, Instance])

    # -- the launcher

    def kill_all(self, _instance: Instance) -> bool:
        self.done.append("fence")
        return self.fenced

    def shut_down_at(self, _instance: Instance) -> int | None:
        return self.shut_down

    def discard_data(self, _instance: Instance) -> None:
        self.done.append("delete")

    delete = discard_data

    # -- the registry

    async def change_roles(self, former: Instance, new: Instance, _change: RoleChange) -> None:
        self.done.append("note the change")
        self.instances |= {"former": former, "new": new}

    async def put(self, instance: Instance) -> None:
        self.done.append("counts" if instance.joined else "counts no more")

    async def complete(self, _change: RoleChange) -> None:
        self.done.append("complete")

    async def remove(self, _identifier: object) -> None:
        self.done.append("forget")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()

    async def nothing(*_arguments: object, **_named: object) -> bool:
        return True

    async def final_positions(_machine: Machine, members: list[Member]) -> list[Placed]:
        return [Placed(one, FLUSHED) for one in members]

    async def promote(_machine: Machine, _member: Member) -> None:
        log.done.append("promote")

    async def position(*_arguments: object) -> SimpleNamespace:
        return SimpleNamespace(replayed=FLUSHED + 1)

    async def sending(*_arguments: object) -> Sending:
        log.done.append("ask who has what")
        return Sending(FLUSHED, {name: Sent(at, at, True) for name, at in log.sent.items()}, frozenset())

    for name, instead in (("stop", nothing), ("final_positions", final_positions), ("promote", promote)):
        monkeypatch.setattr(failover, name, instead)
    monkeypatch.setattr(failover, "position", position)
    monkeypatch.setattr(failover, "expect_standbys", nothing)
    monkeypatch.setattr(leaving, "sending", sending)
    monkeypatch.setattr(leaving, "HAND_OVER_SECONDS", 0.0)
    return log


def machine(log: Log) -> Machine:
    async def abandon(_identifier: object) -> None:
        """Nothing is being copied."""

    watch = SimpleNamespace(process=lambda _: None, forget=lambda _: None)
    return cast("Machine", SimpleNamespace(launcher=log, registry=log, watch=watch, abandon=abandon))


def copies(machine: Machine) -> Copies:
    return cast("Copies", machine)


def a_view() -> View:
    return settled(HaType.SYNC).view()


async def fail_over(log: Log) -> Any:
    return await failover.fail_over(machine(log), a_view(), "it was killed", Known(), None)


async def test_a_failover_fences_then_notes_then_promotes(log: Log) -> None:
    await fail_over(log)
    assert log.done == ["fence", "note the change", "promote", "complete"]


async def test_a_failover_leaves_a_former_primary_that_counts_no_more(log: Log) -> None:
    await fail_over(log)
    assert not log.instances["former"].joined
    assert log.instances["new"].waits


async def test_a_switchover_fences_then_notes_then_promotes_and_the_former_primary_still_counts(log: Log) -> None:
    await failover.switch_over(machine(log), a_view())
    assert log.done == ["fence", "note the change", "promote", "complete"]
    assert log.instances["former"].joined


async def test_nothing_is_noted_while_a_process_of_the_former_primary_is_left(log: Log) -> None:
    log.fenced = False
    with pytest.raises(Unavailable, match="do not end"):
        await fail_over(log)
    with pytest.raises(Unavailable, match="do not end"):
        await failover.switch_over(machine(log), a_view())
    assert set(log.done) == {"fence"}


async def test_a_primary_that_was_not_shut_down_cleanly_stays_the_primary(log: Log) -> None:
    log.shut_down = None
    with pytest.raises(Unavailable, match="not shut down cleanly"):
        await failover.switch_over(machine(log), a_view())
    assert log.done == ["fence"]


async def test_a_primary_that_does_not_end_for_a_switchover_is_killed_and_stays_the_primary(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def in_vain(*_arguments: object, **_named: object) -> bool:
        return False

    monkeypatch.setattr(failover, "stop", in_vain)
    monkeypatch.setattr(failover, "STOP_SECONDS", 0.0)
    with pytest.raises(Unavailable, match="does not end"):
        await failover.switch_over(machine(log), a_view())
    assert log.done == ["fence"]


@pytest.mark.parametrize(("leave", "rest"), [(leaving.discard, ["delete"]), (leaving.retire, ["delete", "forget"])])
async def test_a_standby_ends_hands_over_counts_no_more_and_only_then_loses_its_data(
    log: Log, leave: Any, rest: list[str]
) -> None:
    view = a_view()
    _, leaves, stays = view.members
    log.sent = {slot_of(leaves.instance.id): FLUSHED, slot_of(stays.instance.id): FLUSHED}
    at = machine(log)
    await leave(at, copies(at), view, leaves)
    assert log.done == ["fence", "ask who has what", "counts no more", *rest]


@pytest.mark.parametrize("leave", [leaving.discard, leaving.retire])
async def test_a_standby_whose_commits_no_other_one_has_keeps_its_data(log: Log, leave: Any) -> None:
    view = a_view()
    _, leaves, stays = view.members
    log.sent = {slot_of(leaves.instance.id): FLUSHED, slot_of(stays.instance.id): FLUSHED - 1}
    at = machine(log)
    with pytest.raises(Unavailable, match="stay until another one has"):
        await leave(at, copies(at), view, leaves)
    assert set(log.done) == {"fence", "ask who has what"}
