"""The server of a read replica: what comes next for it, by what is the matter with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance
from howdah.engines.local import plan as alone
from howdah.engines.local.members.plan import CatchUp, replica_step
from howdah.engines.local.members.view import Member
from howdah.engines.local.observed import Observed, Phase, Running, Wanted

INSTANCE = Instance(InstanceId.new(), ServiceId.new(), 20001, None)
WANTED = Wanted(restart=1, password_version=2, configuration="new", upstream="20002")
RUNNING = Running(
    pid=10,
    started=99,
    phase=Phase.READY,
    port=20001,
    restart=1,
    configuration="new",
    standing_by=True,
    upstream="20002",
)
FOLLOWS = Member(INSTANCE, Observed(INSTANCE, True, True, "new", RUNNING), WANTED)
LEFT_BEHIND = replace(FOLLOWS, stale="it does not receive what the primary writes")
PROMOTED = replace(LEFT_BEHIND, seen=replace(LEFT_BEHIND.seen, running=replace(RUNNING, standing_by=False)))
EMPTIED = replace(LEFT_BEHIND, seen=replace(LEFT_BEHIND.seen, damage="the data directory has been emptied"))
DEAD = replace(LEFT_BEHIND, seen=replace(LEFT_BEHIND.seen, running=None))


@pytest.mark.parametrize(
    ("replica", "source_is_up", "may_catch_up", "step"),
    [
        (FOLLOWS, True, True, None),
        (LEFT_BEHIND, True, True, CatchUp()),
        (LEFT_BEHIND, False, True, None),
        (LEFT_BEHIND, True, False, alone.Discard()),
        (LEFT_BEHIND, False, False, None),
        (PROMOTED, True, True, alone.Discard()),
        (EMPTIED, True, True, alone.Discard()),
        (DEAD, True, True, alone.Discard()),
    ],
)
def test_each_state_has_one_next_step(
    replica: Member, source_is_up: bool, may_catch_up: bool, step: alone.Action | CatchUp | None
) -> None:
    assert replica_step(replica, source_is_up=source_is_up, may_catch_up=may_catch_up) == step
