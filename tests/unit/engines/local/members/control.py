"""The control plane over a ``World``: the real planner, and its steps in the order of the code that takes them. It may
be killed wherever there is a ``yield``."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TypeAlias

from unit.engines.local.members.servers import Server
from unit.engines.local.members.world import World

from howdah.domain.errors import Unavailable
from howdah.domain.instances import Instance, Role
from howdah.engines.local import plan as alone
from howdah.engines.local.members import comparing, failover, leaving, plan
from howdah.engines.local.members.positions import Placed, furthest_first
from howdah.engines.local.members.view import Member, View

Steps: TypeAlias = Generator[str, None, None]


def _server(world: World, member: Member) -> Server:
    return next(one for one in world.servers.values() if one.registered and one.registered.id == member.instance.id)


def _same(server: Server, member: Member) -> bool:
    """Whether the server that was seen still runs."""
    running = member.seen.running
    return running is not None and server.process is not None and server.process.pid == running.pid


def advance(world: World) -> Steps:
    """One pass: engines/local/advance.py."""
    view = world.view()
    if world.unconfirmed:
        yield from _confirm(world, view)
        return
    if (change := plan.transition(view)) is not None:
        try:
            yield from _change_roles(world, view, change)
            world.refused = False
        except Unavailable:
            world.refused = True
        return
    if (step := plan.primary_step(view)) is not None:
        assert view.primary is not None
        try:
            yield from _perform(world, view, view.primary, step)
        except Unavailable:
            pass
        else:
            return
    elif (upkeep := plan.upkeep(view)) is not None:
        try:
            yield from _keep_up(world, view, upkeep)
        except Unavailable:
            yield "refused"
    for standby in view.standbys:
        if standby.instance.id not in {one.registered.id for one in world.members() if one.registered}:
            continue
        if (action := plan.standby_step(view, standby)) is not None:
            try:
                yield from _perform(world, view, standby, action)
            except Unavailable:
                yield "refused"


def _confirm(world: World, view: View) -> Steps:
    """engines/local/members/confirming.py."""
    lasts = world.lasts()
    verdict = comparing.by_servers(view, lasts, replica=False)
    if verdict is None:
        strangers = [f"server {one.number}" for one in world.strangers()]
        verdict = comparing.by_files(view, lasts, strangers, replica=False)
    yield f"compared: {type(verdict).__name__}"
    match verdict:
        case comparing.Undecided():
            return
        case comparing.Adopt(leader):
            assert view.primary is not None
            leads, others = comparing.confirmed(view, leader, lasts)
            for one in others:
                if one.id != view.primary.instance.id:
                    world.put(_registered(world, one), one)
            yield "noted who stands by"
            for one in (*others, leads):
                world.put(_registered(world, one), one)
            world.changes += 1
            world.incomplete = False
            yield "adopted"
        case _ if view.primary is not None:
            leads, others = comparing.confirmed(view, view.primary, lasts)
            for one in (*others, leads):
                world.put(_registered(world, one), one)
            if view.may_lose:
                world.forgive(_server(world, view.primary))
            yield "agreed"
            for member in comparing.others_that_lead(view):
                world.end(_server(world, member), asked=True)
        case _:
            pass
    world.unconfirmed = False
    yield "confirmed"


def _registered(world: World, instance: Instance) -> Server:
    return next(one for one in world.members() if one.registered and one.registered.id == instance.id)


def _change_roles(world: World, view: View, change: plan.Transition) -> Steps:
    assert view.primary is not None
    former = _server(world, view.primary)
    match change:
        case plan.FailOver():
            world.end(former, asked=True)
            yield "fenced"
            placed: list[Placed] = []
            for member in view.candidates:
                server = _server(world, member)
                if _same(server, member) and server.process and not server.process.suspended:
                    placed.append(Placed(member, len(server.wal)))
                yield "read a position"
            chosen = failover._furthest(view, furthest_first(placed))
            yield from _exchange(world, view, former, chosen.member, joined=False)
        case plan.Prepare():
            if not any(world.receives(one) is former for one in world.members()):
                raise Unavailable("no standby is close enough")
            world.prepared = True
            yield "prepared"
        case plan.SwitchOver():
            world.prepared = False
            world.end(former, asked=True)
            yield "stopped"
            for member in view.candidates:
                server = _server(world, member)
                if _same(server, member) and server.wal == former.wal:
                    yield "has everything"
                    yield from _exchange(world, view, former, member, joined=True)
                    return
            raise Unavailable("no standby has everything")
        case plan.Promote():
            assert former.role() is Role.PRIMARY
            yield from _promote(world, former, view.primary)


def _exchange(world: World, view: View, former: Server, member: Member, *, joined: bool) -> Steps:
    assert view.primary is not None
    before, new = view.primary.instance, _server(world, member)
    if not view.waits or view.may_lose:
        world.forgive(new)
    follows, leads = failover.exchanged(before, member.instance, former_joined=joined)
    world.put(former, follows)
    world.put(new, leads)
    world.changes += 1
    world.incomplete = True
    yield "noted"
    yield from _promote(world, new, member)


def _promote(world: World, server: Server, member: Member) -> Steps:
    if not _same(server, member):
        raise Unavailable("it ended")
    world.begin_promotion(server)
    yield "begins to become the primary"
    if not _same(server, member):
        raise Unavailable("it ended while it became the primary")
    world.promote(server)
    yield "promoted"
    world.incomplete = False


def _keep_up(world: World, view: View, step: plan.Upkeep) -> Steps:
    assert view.primary is not None
    leader = _server(world, view.primary)
    match step:
        case plan.Replicate():
            if not _same(leader, view.primary):
                raise Unavailable("it ended")
            yield "replicates"
            world.replicated = world.slots()
        case plan.AddStandby():
            world.add(Role.STANDBY)
            yield "added"
        case plan.Retire(member):
            server = _server(world, member)
            yield from _leave(world, view, server, member)
            server.initialised = server.data = server.led = False
            server.wal, server.timelines = (), ((0, 0),)
            yield "deleted"
            server.registered = None
            world.leaving = None
            world.judged.discard(server.number)
        case plan.Wait(waits):
            if waits:
                able = [_server(world, one) for one in view.standbys if one.can_lead]
                if not (yield from _is_shared(world, leader, view.primary, able)):
                    return
            world.put(leader, replace(view.primary.instance, waits=waits, ahead=False))
            yield "noted whether commits wait"
        case plan.Share():
            able = [_server(world, one) for one in view.standbys if one.can_lead]
            if (yield from _is_shared(world, leader, view.primary, able)):
                world.put(leader, replace(view.primary.instance, ahead=False))
                yield "noted that a standby has all"


def _leave(world: World, view: View, server: Server, member: Member, *, stays: bool = False) -> Steps:
    world.leaving = server.number
    world.end(server, asked=True)
    yield "fenced a standby"
    if not member.instance.joined or stays:
        return
    others = [one for one in view.standbys if one.instance.joined and one is not member]
    if view.waits and others:
        assert view.primary is not None
        leader = _server(world, view.primary)
        if not (yield from _is_shared(world, leader, view.primary, [_server(world, one) for one in others])):
            raise Unavailable("its data stay")
    yield "handed over"
    world.put(server, replace(member.instance, joined=False))
    yield "does not count"


def _is_shared(world: World, leader: Server, seen: Member, standbys: list[Server]) -> Generator[str, None, bool]:
    wanted = None
    for _ in range(3):
        if not _same(leader, seen):
            raise Unavailable("no primary")
        wanted = len(leader.wal) if wanted is None else wanted
        if any(world.receives(one) is leader and len(one.wal) >= wanted for one in standbys):
            return True
        yield "not yet shared"
    return False


def _perform(world: World, view: View, member: Member, action: alone.Action) -> Steps:
    server = _server(world, member)
    match action:
        case alone.Configure():
            server.file = world.wanted(server)
        case alone.Start():
            unfinished = server.role() is Role.PRIMARY and world.incomplete  # failover.unfinished
            world.start(server, following=member.wanted.upstream is not None or unfinished)
        case alone.AwaitReady():
            world.open(server)
        case alone.Stop() | alone.Kill():
            world.end(server, asked=True)
        case alone.Reload():
            if _same(server, member):
                world.reload(server)
        case alone.Copy():
            leader = _server(world, view.primary) if view.primary is not None else None
            if leader is None or view.primary is None or not _same(leader, view.primary) or not leader.data:
                raise Unavailable("its primary does not run")
            server.initialised = server.data = True
            server.led = False
            server.wal, server.timelines, server.newest = leader.wal, leader.timelines, leader.newest
            yield "placed a copy"
            world.put(server, replace(member.instance, joined=True))
        case alone.Discard():
            yield from _leave(world, view, server, member, stays=leaving._is_nobody_left(view, member))
            server.initialised = server.data = False
            server.wal, server.timelines = (), ((0, 0),)
            world.judged.discard(server.number)
            world.leaving = None
        case _:
            raise AssertionError(f"nobody should want {action} of {member}")
    yield type(action).__name__
