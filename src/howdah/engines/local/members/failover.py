"""A change of the primary: after a failure, or because somebody asked for it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from howdah.backup.wal import lsn_text
from howdah.domain.errors import Unavailable
from howdah.domain.failovers import ChangeKind, RoleChange
from howdah.domain.instances import Instance, Role
from howdah.domain.states import HaType
from howdah.engines.local.actions.stop import kill, stop
from howdah.engines.local.archiving.received import Received
from howdah.engines.local.machine import Machine
from howdah.engines.local.members.carrying import Carried, carry
from howdah.engines.local.members.membership import slot_of
from howdah.engines.local.members.positions import Placed, final_positions
from howdah.engines.local.members.replication import (
    begin_promotion,
    checkpoint,
    expect_standbys,
    position,
    sending,
)
from howdah.engines.local.members.view import Member, View
from howdah.engines.local.observe import observe
from howdah.engines.local.observed import Phase

LARGEST_LOSS = 16 << 20
"""Bytes of WAL that a standby may lack to take over by itself, where commits do not wait for it."""

STOP_SECONDS = 10.0
"""How long the primary may take to end for a switchover."""

_PROMOTION_SECONDS = 30.0
_CATCH_UP_SECONDS = 5.0
_POLL = 0.003

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Known:
    """What was known of the primary before: its end of WAL (LSN), and when it was last seen to be well (monotonic
    seconds); None: nothing."""

    flushed: int | None = None
    well_at: float | None = None


async def fail_over(machine: Machine, view: View, cause: str, known: Known, received: Received | None) -> RoleChange:
    """Fence the primary, choose the standby that has most, bring it what it lacks where its commits did not wait for
    it, note it, promote it.

    Raises Unavailable when none may take over, OSError when the primary cannot be fenced: then it stays the primary.
    """
    primary = _present(view.primary)
    began = time.monotonic()
    # Whatever was read before it has ended may be overtaken by what it still acknowledges.
    if not await asyncio.to_thread(machine.launcher.kill_all, primary.instance):
        raise Unavailable(f"{cause}, and processes of the primary do not end")
    fenced = time.monotonic()
    chosen = _furthest(view, await final_positions(machine, view.candidates))
    carried = Carried(chosen)
    if not view.waits or view.may_lose:
        carried = await carry(machine, primary.instance, received, chosen)
        chosen = carried.placed
    _check_loss(view, chosen, known)
    change = RoleChange(
        id=uuid4(),
        service=primary.instance.service,
        at=datetime.now(UTC),
        kind=ChangeKind.FAILOVER,
        cause=cause,
        former=primary.instance.id,
        new=chosen.member.instance.id,
        position=lsn_text(chosen.last),
        lost_bytes=0 if carried.everything or (view.waits and not view.may_lose) else None,
        detection_ms=_ms(began - known.well_at) if known.well_at is not None else None,
        fencing_ms=_ms(fenced - began),
    )
    _log.warning("failover", service=change.service.ubid, cause=cause, former=str(change.former), new=str(change.new))
    await _exchange(machine, primary.instance, chosen.member.instance, change, former_joined=False)
    return await _promoted(machine, view, chosen.member, change, began)


def _furthest(view: View, placed: list[Placed]) -> Placed:
    """Raises Unavailable."""
    joined = [one for one in view.standbys if one.instance.joined]
    if not placed:
        raise Unavailable("no standby says how far it is")
    if view.waits and not view.may_lose and len(placed) < len(joined):
        raise Unavailable("a standby that may have commits which the others lack does not say how far it is")
    return placed[0]


def _check_loss(view: View, chosen: Placed, known: Known) -> None:
    """Raises Unavailable when it is too much."""
    lacks = (known.flushed or 0) - chosen.last
    if view.ha_type is not HaType.SYNC and lacks > LARGEST_LOSS and not view.may_lose:
        raise Unavailable(f"the standby that is furthest lacks {lacks} bytes of WAL")


async def prepare_switchover(machine: Machine, view: View) -> None:
    """Write out what the primary has; it ends sooner then. Raises Unavailable, also when no standby is close."""
    primary = _present(view.primary)
    await checkpoint(machine, primary.instance, _pid(primary))
    now = await sending(machine, primary.instance, _pid(primary))
    if not any(now.flushed - (sent.flushed or 0) <= LARGEST_LOSS for sent in now.standbys.values()):
        raise Unavailable("no standby is close enough to take over")


async def switch_over(machine: Machine, view: View) -> RoleChange:
    """Stop the primary, see that a standby has everything, note it, promote it.

    Raises Unavailable when none has: then the primary is started again as what it is.
    """
    primary = _present(view.primary)
    began = time.monotonic()
    while not await stop(machine, primary.instance, fast=STOP_SECONDS, immediate=STOP_SECONDS):
        if time.monotonic() - began > STOP_SECONDS:
            await kill(machine, primary.instance)  # It is the primary again sooner than if it were waited for.
            raise Unavailable(f"the primary does not end within {STOP_SECONDS:.0f} s")
    if not await asyncio.to_thread(machine.launcher.kill_all, primary.instance):
        raise Unavailable("processes of the primary do not end")
    fenced = time.monotonic()
    last = await asyncio.to_thread(machine.launcher.shut_down_at, primary.instance)
    if last is None:
        raise Unavailable("the primary was not shut down cleanly")
    chosen = await _with_everything(machine, view, last)
    change = RoleChange(
        id=uuid4(),
        service=primary.instance.service,
        at=datetime.now(UTC),
        kind=ChangeKind.SWITCHOVER,
        cause="it was asked for",
        former=primary.instance.id,
        new=chosen.instance.id,
        position=lsn_text(last),
        lost_bytes=0,
        detection_ms=0.0,
        fencing_ms=_ms(fenced - began),
    )
    await _exchange(machine, primary.instance, chosen.instance, change, former_joined=True)
    return await _promoted(machine, view, chosen, change, began)


async def _with_everything(machine: Machine, view: View, last: int) -> Member:
    """The first standby that has replayed the record in which the primary says that it was shut down."""
    end = time.monotonic() + _CATCH_UP_SECONDS
    while time.monotonic() < end:
        for member in view.candidates:
            now = await position(machine, member.instance, _pid(member))
            if now.replayed is not None and now.replayed > last:
                return member
        await asyncio.sleep(_POLL)
    raise Unavailable("no standby has everything that the primary wrote")


def unfinished(machine: Machine, primary: Instance) -> RoleChange | None:
    """The change by which it is the primary, while nobody knows that it has become one. Until then it starts as the
    standby that it was: one that starts as a primary goes on with the timeline of the former one, beside the history of
    a new one that it may have begun, and no standby could follow it ever again."""
    newest = machine.registry.newest_change(primary.service)
    return newest if newest is not None and newest.new == primary.id and newest.first_write_ms is None else None


async def finish(machine: Machine, member: Member) -> None:
    """Promote the server that is noted as the primary, after a change that was interrupted. Raises Unavailable."""
    began = time.monotonic()
    await promote(machine, member)
    if (change := unfinished(machine, member.instance)) is not None:
        whole = (datetime.now(UTC) - change.at).total_seconds()
        promotion = _ms(time.monotonic() - began)
        await machine.registry.complete(replace(change, promotion_ms=promotion, first_write_ms=_ms(max(0.0, whole))))


async def promote(machine: Machine, member: Member) -> None:
    """Have the server that is noted as the primary become one, and wait until it is. Raises Unavailable."""
    pid = _pid(member)
    await begin_promotion(machine, member.instance, pid)
    end = time.monotonic() + _PROMOTION_SECONDS
    while True:
        running = observe(machine, member.instance).running
        if running is None or running.pid != pid:
            raise Unavailable("the server ended while it became the primary")
        if running.phase is Phase.READY and not running.standing_by:
            return
        if time.monotonic() > end:
            raise Unavailable(f"the server has not become the primary within {_PROMOTION_SECONDS:.0f} s")
        await asyncio.sleep(_POLL)


async def _exchange(
    machine: Machine, former: Instance, new: Instance, change: RoleChange, *, former_joined: bool
) -> None:
    """From here on the other one is the primary, whatever happens."""
    await machine.registry.change_roles(*exchanged(former, new, former_joined=former_joined), change)


def exchanged(former: Instance, new: Instance, *, former_joined: bool) -> tuple[Instance, Instance]:
    """Both as they are from then on. One whose commits waited has a successor whose commits wait; unless the former one
    has them too, that one alone may have some of them until others got them."""
    ahead = former.waits and not former_joined
    return (
        replace(former, role=Role.STANDBY, joined=former_joined, waits=False, ahead=False),
        replace(new, role=Role.PRIMARY, joined=False, waits=former.waits, ahead=ahead),
    )


async def _promoted(machine: Machine, view: View, member: Member, change: RoleChange, began: float) -> RoleChange:
    noted = time.monotonic()
    others = [slot_of(one.instance.id) for one in view.standbys if one.instance.id != member.instance.id]
    # Before clients come: their commits may wait for the other standby, and that for its slot.
    await expect_standbys(machine, member.instance, _pid(member), others)
    await promote(machine, member)
    done = time.monotonic()
    change = replace(change, promotion_ms=_ms(done - noted), first_write_ms=_ms(done - began))
    await machine.registry.complete(change)
    return change


def _present(member: Member | None) -> Member:
    if member is None:
        raise AssertionError("a service without a primary")
    return member


def _pid(member: Member) -> int:
    running = member.seen.running
    if running is None:
        raise AssertionError("a server that does not run")
    return running.pid


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
