"""What a service is whose store is an older one that was put back: decided once, by its servers. Pure.

At all other times the store decides, and what can be done inside of a server decides nothing. Until this is decided
nothing of the service is started, stopped, promoted or deleted, so that whatever was committed since is still there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from howdah.domain.ids import InstanceId
from howdah.domain.instances import Instance, Role
from howdah.engines.local.members.view import Member, View
from howdah.engines.local.observed import Phase


@dataclass(frozen=True, slots=True)
class Last:
    """What a data directory says of the last server in it. led: it was no standby. timeline: on which its WAL ends."""

    led: bool
    timeline: int


@dataclass(frozen=True, slots=True)
class Agree:
    """It is what the store says, or may become that without losing anything that is not lost already."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """Another server has become the primary since."""

    leader: Member


@dataclass(frozen=True, slots=True)
class Promoted:
    """A read replica has become a service like any other since."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """Nobody can tell. ``why``: what is known, and what to do, in words for its user."""

    why: str


Verdict = Agree | Adopt | Promoted | Undecided
Lasts = Mapping[InstanceId, Last]
"""Of those that have data, as far as they can be read."""

_WAIT = "wait: a server is still starting, or ending"


def by_servers(view: View, lasts: Lasts, *, replica: bool) -> Verdict | None:
    """What those that run say; None when they do not."""
    leaders = [one for one in view.members if _leads(one)]
    if len(leaders) != 1:
        return None
    (leader,) = leaders
    if leader.instance.role is Role.PRIMARY and not replica:
        return Agree()
    if any(_changes(one) or (replica and not _is_ready(one)) for one in view.members):
        return None if view.may_lose else Undecided(_said(view.members, lasts, (), _WAIT))
    return Promoted() if replica else Adopt(leader)


def by_files(view: View, lasts: Lasts, strangers: Sequence[str], *, replica: bool) -> Verdict:
    """What data directories add to that. ``strangers``: servers of the service that the store does not know."""
    members = view.members
    if view.may_lose or not (strangers or any(one.seen.data for one in members)):
        return Agree()
    if len(members) == 1 and not strangers and not replica:
        return Agree()  # Nobody else could have become the primary.
    if any(_changes(one) for one in members):
        return Undecided(_said(members, lasts, strangers, _WAIT))
    if not strangers and not any(_leads(one) for one in members):
        if replica and all(_is_ready(one) for one in members):
            return Agree()
        if (leader := _led_last(members, lasts)) is not None:
            return Promoted() if replica else Agree() if leader.instance.role is Role.PRIMARY else Adopt(leader)
        if replica and all(one.instance.id in lasts for one in members):
            return Agree()
    return Undecided(_said(members, lasts, strangers, _advice(members, strangers, replica=replica)))


def confirmed(view: View, leader: Member, lasts: Lasts) -> tuple[Instance, list[Instance]]:
    """The primary and the others as they are from then on. One that stands by was noted as joined before it was
    started; one that has ended has joined when it ended on the newest timeline. Whether commits have waited all the
    time nobody knows, so that nobody takes over until a standby has all of them."""
    newest = max((one.timeline for one in lasts.values()), default=0)
    waits = view.primary is not None and view.primary.instance.waits
    others = [
        replace(
            one.instance,
            role=Role.STANDBY,
            joined=_stands_by(one) or (one.instance.joined and _stood_by(one, lasts, newest)),
            waits=False,
            ahead=False,
        )
        for one in view.members
        if one.instance.id != leader.instance.id
    ]
    return replace(leader.instance, role=Role.PRIMARY, joined=False, waits=waits, ahead=waits), others


def others_that_lead(view: View) -> list[Member]:
    return [one for one in view.standbys if _leads(one)]


def _leads(member: Member) -> bool:
    """It takes writes, or was started to do so and will."""
    running = member.seen.running
    if running is None or running.phase is Phase.STOPPING:
        return False
    if running.phase is Phase.READY:
        return not running.standing_by
    return running.restart is not None and running.upstream is None


def _is_ready(member: Member) -> bool:
    running = member.seen.running
    return running is not None and running.phase is Phase.READY


def _stands_by(member: Member) -> bool:
    running = member.seen.running
    return running is not None and running.standing_by


def _stood_by(member: Member, lasts: Lasts, newest: int) -> bool:
    last = lasts.get(member.instance.id)
    return member.seen.running is None and last is not None and not last.led and last.timeline == newest


def _changes(member: Member) -> bool:
    """Whether another look will say more: one that recovers from a crash may have been promoted before."""
    return member.seen.running is not None and not _is_ready(member) and not _leads(member)


def _led_last(members: Sequence[Member], lasts: Lasts) -> Member | None:
    """The one that was the primary last: on the newest timeline of all, and the only one there. What it wrote is what
    the others received."""
    there = [one for one in members if one.seen.data]
    if not all(one.instance.id in lasts for one in there):
        return None
    newest = max((lasts[one.instance.id].timeline for one in there), default=0)
    led = [
        one
        for one in there
        if one.seen.running is None and lasts[one.instance.id].led and lasts[one.instance.id].timeline == newest
    ]
    return led[0] if len(led) == 1 else None


def _said(members: Iterable[Member], lasts: Lasts, strangers: Sequence[str], advice: str) -> str:
    known = [f"{one.instance.id} {_state(one, lasts.get(one.instance.id))}" for one in members]
    known += [f"{one} is not known to it" for one in strangers]
    return f"an older store was put back, and which server is the primary is not known: {', '.join(known)}; {advice}"


def _state(member: Member, last: Last | None) -> str:
    role = f"({member.instance.role} by the store)"
    if (running := member.seen.running) is not None:
        does = "takes writes" if _leads(member) else "stands by" if running.standing_by else f"is {running.phase.value}"
        return f"{role} {does} with pid {running.pid}"
    if not member.seen.data:
        return f"{role} has no data"
    if last is None:
        return f"{role} does not run, and nobody can tell what it was"
    return f"{role} does not run, and was a {'primary' if last.led else 'standby'} on timeline {last.timeline}"


def _advice(members: Sequence[Member], strangers: Sequence[str], *, replica: bool) -> str:
    if len([one for one in members if _leads(one)]) > 1:
        first = "end all but the one that is to go on (kill -INT PID)"
    elif replica:
        first = "make it independent: howdah services promote"
    elif strangers:
        first = "look for what it has in the servers that are not known (howdah doctor)"
    else:
        first = "start the control plane with the newest backup of the store that there is"
    return f"{first}; or go on as the store says: howdah services failover --accept-data-loss"
