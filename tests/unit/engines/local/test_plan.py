"""The planner: what comes next, from every state that can be seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance
from howdah.engines.local.observed import Observed, Phase, Running, Wanted
from howdah.engines.local.plan import (
    Action,
    Allocate,
    AwaitReady,
    Configure,
    FinishRestore,
    Reload,
    Relocate,
    Restore,
    Seed,
    SetPassword,
    Start,
    Stop,
    explain,
    is_ready,
    plan,
)

INSTANCE = Instance(InstanceId.new(), ServiceId.new(), 20001, None)
WANTED = Wanted(restart=1, password_version=2, configuration="new")
RUNNING = Running(pid=10, started=99, phase=Phase.READY, port=20001, restart=1, configuration="new")
SETTLED = Observed(INSTANCE, True, True, "new", RUNNING, password_version=2)
STOPPED = replace(SETTLED, running=None)


@pytest.mark.parametrize(
    ("seen", "action"),
    [
        (Observed(instance=None), Allocate()),
        (Observed(INSTANCE), Seed()),
        (Observed(INSTANCE, initialised=True, data=False), None),
        (replace(STOPPED, configuration=None), Configure()),
        (replace(STOPPED, configuration="old"), Configure()),
        (replace(STOPPED, port_free=False), Relocate()),
        (STOPPED, Start(1)),
        (replace(STOPPED, wait=1.5), None),
        (replace(SETTLED, running=replace(RUNNING, phase=Phase.STARTING)), AwaitReady()),
        (replace(SETTLED, running=replace(RUNNING, phase=Phase.STARTING, restart=None, port=0)), AwaitReady()),
        (replace(SETTLED, running=replace(RUNNING, phase=Phase.STOPPING)), Stop()),
        (replace(SETTLED, running=replace(RUNNING, restart=0)), Stop()),
        (replace(SETTLED, running=replace(RUNNING, restart=0, suspended=True)), Stop()),
        (replace(SETTLED, running=replace(RUNNING, port=20002)), Stop()),
        (replace(SETTLED, running=replace(RUNNING, suspended=True)), None),
        (replace(SETTLED, password_version=None), SetPassword(2)),
        (replace(SETTLED, password_version=1), SetPassword(2)),
        (replace(SETTLED, password_version=1, answering=False), None),
        (replace(SETTLED, running=replace(RUNNING, configuration="old")), Reload()),
        (SETTLED, None),
    ],
)
def test_each_state_has_one_next_step(seen: Observed, action: Action | None) -> None:
    assert plan(WANTED, seen) == action


RESTORED = replace(WANTED, restored=True)
RECOVERED = replace(SETTLED, password_version=None, archived_wal=True)


@pytest.mark.parametrize(
    ("seen", "action"),
    [
        (Observed(INSTANCE), Restore()),
        (replace(STOPPED, password_version=None, archived_wal=True), Start(1, recovering=True)),
        (replace(RECOVERED, running=replace(RUNNING, phase=Phase.STARTING)), AwaitReady()),
        (RECOVERED, FinishRestore()),
        (replace(RECOVERED, archived_wal=False), SetPassword(2)),
        (replace(STOPPED, archived_wal=True), Start(1)),
        (SETTLED, None),
    ],
)
def test_a_restored_server_recovers_before_anything_else(seen: Observed, action: Action | None) -> None:
    assert plan(RESTORED, seen) == action


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (SETTLED, None),
        (replace(STOPPED, exit="the server was killed by SIGKILL"), "the server was killed by SIGKILL"),
        (replace(SETTLED, data=False), "data directory is missing"),
        (replace(SETTLED, answering=False), "the server does not answer"),
    ],
)
def test_what_is_wrong_is_said_in_words(seen: Observed, reason: str | None) -> None:
    assert explain(WANTED, seen) == reason
    assert is_ready(WANTED, seen) == (reason is None)


digests = st.sampled_from(["new", "old", "older", None])
runnings = st.builds(
    Running,
    pid=st.integers(2, 99),
    started=st.integers(0, 99),
    phase=st.sampled_from(Phase),
    port=st.sampled_from([20001, 20002, 0]),
    restart=st.sampled_from([None, 0, 1, 2]),
    configuration=digests,
    suspended=st.booleans(),
)
states = st.builds(
    Observed,
    instance=st.sampled_from([INSTANCE, None]),
    initialised=st.booleans(),
    data=st.booleans(),
    configuration=digests,
    running=st.one_of(st.none(), runnings),
    port_free=st.booleans(),
    password_version=st.sampled_from([None, 1, 2, 3]),
    answering=st.booleans(),
    wait=st.sampled_from([0.0, 3.0]),
    exit=st.sampled_from([None, "the server ended"]),
)


def perform(action: Action | None, seen: Observed) -> Observed:
    """The world after a step that succeeds, or after some time when there is none."""
    match action:
        case Allocate():
            return replace(seen, instance=INSTANCE)
        case Seed():
            return replace(seen, initialised=True, data=True)
        case Configure():
            return replace(seen, configuration="new")
        case Relocate():
            assert seen.instance is not None
            return replace(seen, instance=replace(seen.instance, port=seen.instance.port + 1), port_free=True)
        case Start(restart):
            assert seen.instance is not None
            running = Running(
                pid=11,
                started=100,
                phase=Phase.STARTING,
                port=seen.instance.port,
                restart=restart,
                configuration=seen.configuration,
            )
            return replace(seen, running=running)
        case AwaitReady():
            assert seen.running is not None
            restart = WANTED.restart if seen.running.restart is None else seen.running.restart
            port = seen.running.port or 20001
            return replace(seen, running=replace(seen.running, phase=Phase.READY, restart=restart, port=port))
        case Stop():
            return replace(seen, running=None, answering=True)
        case SetPassword(version):
            return replace(seen, password_version=version)
        case Reload():
            assert seen.running is not None
            return replace(seen, running=replace(seen.running, configuration=seen.configuration))
        case None:
            running = replace(seen.running, suspended=False) if seen.running else None
            return replace(seen, wait=0.0, answering=True, running=running)


@given(states)
def test_it_converges_from_every_state_whose_data_is_there(seen: Observed) -> None:
    if seen.initialised and not seen.data:
        seen = replace(seen, data=True)
    for _ in range(16):
        if is_ready(WANTED, seen):
            break
        seen = perform(plan(WANTED, seen), seen)
    assert is_ready(WANTED, seen), seen
    assert plan(WANTED, seen) is None


@given(states)
def test_a_data_directory_that_was_ever_made_is_never_made_again(seen: Observed) -> None:
    assert not (seen.instance is not None and seen.initialised and isinstance(plan(WANTED, seen), Seed))


USED = replace(WANTED, ran=True)
GONE = "its data directory and all around it are missing; what its backups have can be restored"


@given(states)
def test_a_service_that_has_run_is_not_made_anew_when_all_of_it_is_gone(seen: Observed) -> None:
    seen = replace(seen, instance=INSTANCE, initialised=False, data=False)
    assert plan(USED, seen) is None
    assert not is_ready(USED, seen)
    assert explain(USED, seen) == GONE
    assert plan(USED, replace(seen, data=True)) == Seed(), "only the record of it is missing, which is made again"


@given(states)
def test_without_its_data_nothing_is_started_and_nothing_is_ready(seen: Observed) -> None:
    seen = replace(seen, instance=INSTANCE, initialised=True, data=False)
    assert plan(WANTED, seen) is None
    assert not is_ready(WANTED, seen)
    assert explain(WANTED, seen) == "data directory is missing"


@given(states)
def test_a_server_that_is_as_wanted_is_never_stopped(seen: Observed) -> None:
    running = seen.running
    if running is not None and running.phase is Phase.READY and running.restart == 1 and seen.instance is not None:
        seen = replace(seen, running=replace(running, port=seen.instance.port))
        assert not isinstance(plan(WANTED, seen), Stop)
