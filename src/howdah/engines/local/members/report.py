"""The servers of a service as their user sees them."""

from __future__ import annotations

from contextlib import suppress

from howdah.backup.wal import lsn_text
from howdah.domain.errors import Unavailable
from howdah.domain.ids import ServiceId
from howdah.domain.instances import Instance, Role
from howdah.domain.members import MemberState, MemberStatus
from howdah.engines.local.connection import connect
from howdah.engines.local.machine import Machine
from howdah.engines.local.members.copies import Copies
from howdah.engines.local.members.membership import slot_of
from howdah.engines.local.members.replication import Position, Sending, position, sending
from howdah.engines.local.observe import observe
from howdah.engines.local.observed import Observed, Phase, Wanted
from howdah.engines.local.plan import explain
from howdah.engines.local.troubles import presentable

_ANY = Wanted(0, 0, "")


async def report(machine: Machine, copies: Copies, service: ServiceId, follows: ServiceId | None) -> list[MemberStatus]:
    """The primary first. What cannot be asked is left out of what is told."""
    instances = machine.registry.of(service)
    sources = instances if follows is None else machine.registry.of(follows)
    sent = await _sent(machine, next((one for one in sources if one.role is Role.PRIMARY), None))
    return [
        await _member(machine, copies, one, sent, stands_by=follows is not None or one.role is Role.STANDBY)
        for one in instances
    ]


async def stored_bytes(machine: Machine, service: ServiceId) -> int:
    """Raises Unavailable."""
    for one in machine.registry.of(service):
        running = observe(machine, one).running
        if one.role is Role.PRIMARY and running is not None:
            async with connect(str(machine.layout.of(one).sockets), one.port, pid=running.pid) as connection:
                found = await connection.execute(
                    "SELECT (SELECT coalesce(sum(pg_database_size(oid)), 0) FROM pg_database)::bigint"
                    " + (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir())::bigint"
                )
                return int((await found.fetchall())[0][0])
    raise Unavailable("it does not run, so that nobody knows how much it has stored")


async def _sent(machine: Machine, primary: Instance | None) -> Sending | None:
    if primary is None or (running := _up(observe(machine, primary))) is None:
        return None
    with suppress(Unavailable):
        return await sending(machine, primary, running)
    return None


async def _member(
    machine: Machine, copies: Copies, one: Instance, sent: Sending | None, *, stands_by: bool
) -> MemberStatus:
    seen = observe(machine, one)
    role = Role.STANDBY if stands_by else Role.PRIMARY
    state, reason = _state(machine, copies, seen)
    status = MemberStatus(one.id, role, state, reason, joined=not stands_by or one.joined)
    if not stands_by or (pid := _up(seen)) is None:
        return status
    place: Position | None = None
    with suppress(Unavailable):
        place = await position(machine, one, pid)
    known = sent.standbys.get(slot_of(one.id)) if sent is not None else None
    return MemberStatus(
        one.id,
        role,
        MemberState.STREAMING if known is not None else state,
        reason,
        joined=one.joined,
        acknowledges=known is not None and known.acknowledges,
        received=_text(place.received) if place is not None else None,
        replayed=_text(place.replayed) if place is not None else None,
        lag_bytes=max(0, sent.flushed - place.last) if sent is not None and place is not None else None,
    )


def _state(machine: Machine, copies: Copies, seen: Observed) -> tuple[MemberState, str | None]:
    assert seen.instance is not None
    if copies.under_way(seen.instance.id) or not seen.initialised:
        return MemberState.COPYING, None
    running = seen.running
    reason = seen.damage or explain(_ANY, seen)
    if reason is not None:
        return MemberState.FAILED, presentable(reason, machine.layout.of(seen.instance))
    ready = running is not None and running.phase is Phase.READY
    return (MemberState.RUNNING if ready else MemberState.STARTING), None


def _up(seen: Observed) -> int | None:
    running = seen.running
    return running.pid if running is not None and running.phase is Phase.READY and not running.suspended else None


def _text(position: int | None) -> str | None:
    return None if position is None else lsn_text(position)
