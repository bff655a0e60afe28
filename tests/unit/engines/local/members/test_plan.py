"""The planner of a service's servers: it has an answer to every state, and over a model of the world nothing that must
never happen does, whatever breaks and wherever the control plane is killed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from unit.engines.local.members.plane import Plane, heal, put_back
from unit.engines.local.members.servers import SERVICE, Process, Server, identifier
from unit.engines.local.members.world import World, settled

from howdah.domain.errors import Unavailable
from howdah.domain.instances import Instance, Role
from howdah.domain.states import HaType
from howdah.engines.local.members import failover, plan
from howdah.engines.local.members.failover import Known
from howdah.engines.local.members.positions import Placed
from howdah.engines.local.members.view import Member, View
from howdah.engines.local.observed import Observed, Phase, Running, Wanted

upstreams = st.sampled_from([None, "20001", "20002"])
runnings = st.builds(
    Running,
    pid=st.integers(2, 99),
    started=st.integers(0, 99),
    phase=st.sampled_from(Phase),
    port=st.integers(20000, 20004),
    restart=st.sampled_from([None, 0, 1, 2]),
    configuration=st.sampled_from([None, "old", "new"]),
    suspended=st.booleans(),
    standing_by=st.booleans(),
    upstream=upstreams,
)


@st.composite
def members(draw: st.DrawFn, number: int) -> Member:
    instance = Instance(
        *(identifier(number), SERVICE, 20000 + number, None),
        *(draw(st.sampled_from(Role)), draw(st.booleans()), draw(st.booleans())),
    )
    words = st.sampled_from([None, "something is wrong"])
    seen = Observed(
        instance,
        initialised=draw(st.booleans()),
        data=draw(st.booleans()),
        configuration=draw(st.sampled_from([None, "old", "new"])),
        running=draw(st.none() | runnings),
        port_free=draw(st.booleans()),
        password_version=draw(st.sampled_from([None, 1, 2])),
        answering=draw(st.booleans()),
        wait=draw(st.sampled_from([0.0, 3.0])),
        exit=draw(words),
        archived_wal=draw(st.booleans()),
        crashes=draw(st.integers(0, 4)),
        failed_starts=draw(st.integers(0, 4)),
        damage=draw(words),
    )
    wanted = Wanted(1, 2, "new", restored=draw(st.booleans()), upstream=draw(upstreams), ran=draw(st.booleans()))
    return Member(instance, seen, wanted, draw(words))


@st.composite
def views(draw: st.DrawFn) -> View:
    return View(
        draw(st.sampled_from(HaType)),
        [draw(members(number)) for number in range(draw(st.integers(1, 4)))],
        *(draw(st.integers(0, 2)) for _ in range(3)),
        *(draw(st.booleans()) for _ in range(5)),
    )


@given(views(), st.booleans(), st.booleans())
def test_every_state_has_an_answer(view: View, source_is_up: bool, may_catch_up: bool) -> None:
    change, upkeep = plan.transition(view), plan.upkeep(view)
    plan.primary_step(view)
    plan.explain(view)
    for member in view.members:
        plan.standby_step(view, member)
        plan.replica_step(member, source_is_up=source_is_up, may_catch_up=may_catch_up)
    if isinstance(change, plan.FailOver | plan.SwitchOver):
        with suppress(Unavailable):
            chosen = failover._furthest(view, [Placed(one, 5) for one in view.candidates])
            failover._check_loss(view, chosen, Known(7))
            assert chosen.member.instance.role is Role.STANDBY
            assert chosen.member.instance.joined
    if isinstance(upkeep, plan.Retire):
        assert upkeep.member.instance.role is Role.STANDBY


FAULTS = ["kill", "suspend", "resume", "hang", "answer", "lose", "judge", "ship", "ship", "open", "commit", "commit"]
events = st.one_of(
    st.tuples(st.just("step"), st.integers(1, 4)),
    st.tuples(st.just("step"), st.integers(1, 12)),
    st.tuples(st.sampled_from(FAULTS), st.integers(0, 4)),
    st.tuples(st.sampled_from(["commit", "kill", "lose"]), st.just(-1)),
    st.tuples(st.sampled_from(["killed", "time", "switchover", "all", "accept", "fill"]), st.just(0)),
    st.tuples(st.just("ha"), st.integers(0, 2)),
    # What chance alone seldom brings together: one standby has more than the other, and cannot be asked.
    st.tuples(st.sampled_from(["uneven", "cut"]), st.integers(0, 2)),
)
HA_TYPES = list(HaType)


def happen(world: World, plane: Plane, event: str, number: int) -> None:
    match event:
        case "step":
            for _ in range(number):
                plane.step()
                world.check()
        case "killed":
            plane.kill()
        case "time":
            world.refused = False
        case "switchover":
            world.switchover = world.changes + 1
        case "accept":
            world.accept_loss = world.changes + 1
        case "fill":
            world.full = not world.full
        case "all":
            for server in world.servers.values():
                world.end(server, asked=False)
        case "ha":
            world.ha_type = HA_TYPES[number]
        case _:
            leader = world.primary()
            server = world.servers.get(number) if number >= 0 else leader
            if server is not None and leader is not None:
                _happen_to(world, leader, server, event)


def _happen_to(world: World, leader: Server, server: Server, event: str) -> None:
    process = server.process or Process(0, False, (False, frozenset()))
    match event:
        case "uneven":
            world.commit(leader)
            world.ship(server)
        case "cut":
            process.suspended = server is not leader
            world.end(leader, asked=False)
        case "kill":
            world.end(server, asked=False)
        case "suspend" | "resume":
            process.suspended = event == "suspend"
        case "hang" | "answer":
            process.hangs = event == "hang"
        case "lose":
            world.lose_data(server)
        case "judge":
            # Wrongly too: one that is slow.
            if server.role() is Role.STANDBY and process.ready:
                world.judged.add(server.number)
        case "ship":
            world.ship(server)
        case "open":
            world.open(server)
        case "commit":
            world.commit(server)


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(HA_TYPES), st.lists(events, max_size=40))
def test_nothing_that_must_never_happen_does(ha_type: HaType, happening: list[tuple[str, int]]) -> None:
    world = settled(ha_type)
    plane = Plane(world, note)
    for event, number in happening:
        note(f"{event} {number}")
        happen(world, plane, event, number)
        world.check()
    assert not heal(world, plane) or world.acknowledged <= set(world.primary_wal())


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(HA_TYPES), *(st.lists(events, max_size=most) for most in (10, 20, 10)))
def test_nothing_of_that_happens_when_an_older_store_is_put_back(
    ha_type: HaType,
    before: list[tuple[str, int]],
    since: list[tuple[str, int]],
    after: list[tuple[str, int]],
) -> None:
    world = settled(ha_type)
    plane = Plane(world, note)
    stages: list[tuple[list[tuple[str, int]], Callable[[], None]]] = [
        (before, world.copy),
        (since, lambda: put_back(world, plane)),
        (after, world.check),
    ]
    for happening, at_the_end in stages:
        for event, number in happening:
            note(f"{event} {number}")
            happen(world, plane, event, number)
            world.check()
        at_the_end()
    assert not heal(world, plane) or world.acknowledged <= set(world.primary_wal())
