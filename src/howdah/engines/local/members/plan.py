"""What to do next for the servers of a service together. No I/O; what each server needs for itself: local/plan.py.

What must never happen: two primaries; a primary that lacks commits which were acknowledged while commits waited for
standbys; data deleted that are the only ones to have a commit.
"""

from __future__ import annotations

from dataclasses import dataclass

from howdah.domain.states import HaType
from howdah.engines.local import plan as alone
from howdah.engines.local.members.view import Member, View
from howdah.engines.local.observed import Phase

CRASHES = 3
"""Crashes of its processes within a minute after which a primary is given up."""

FAILED_STARTS = 3
"""Starts in a row that end with an error, after which a standby's data are copied anew."""


@dataclass(frozen=True, slots=True)
class FailOver:
    """Have a standby become the primary. ``cause``: what is wrong with the present one, in words."""

    cause: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """Have the primary write out what it can, before it is stopped for a switchover."""


@dataclass(frozen=True, slots=True)
class SwitchOver:
    """Stop the primary and have a standby that has everything become the primary."""


@dataclass(frozen=True, slots=True)
class Promote:
    """Have the server that is to be the primary become one."""


Transition = FailOver | Prepare | SwitchOver | Promote


@dataclass(frozen=True, slots=True)
class Replicate:
    """See to the role and the slots by which standbys come."""


@dataclass(frozen=True, slots=True)
class AddStandby:
    pass


@dataclass(frozen=True, slots=True)
class Retire:
    """A standby too many: nothing is left of it."""

    member: Member


@dataclass(frozen=True, slots=True)
class Wait:
    """Note that commits wait for standbys, if one has everything from before; or that they do not any more."""

    waits: bool


@dataclass(frozen=True, slots=True)
class Share:
    """Note that a standby has everything that the primary had when it took over, if one has."""


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Bring a read replica from the archive what its primary has not any more."""


Upkeep = Replicate | AddStandby | Retire | Wait | Share


def failure(primary: Member) -> str | None:
    """Why a primary is to be given up, in words for its user; None when it is not, or only ended because we asked."""
    seen, running = primary.seen, primary.seen.running
    if alone.is_missing_data(primary.wanted, seen):
        return "the data directory of the primary is gone"
    if not seen.initialised:
        return None
    if running is None:
        return seen.exit
    if seen.damage is not None:
        return seen.damage
    if running.suspended:
        return "the primary is suspended (SIGSTOP)"
    if not seen.answering:
        return "the primary does not answer"
    if seen.crashes >= CRASHES:
        return f"processes of the primary crashed {seen.crashes} times within a minute"
    return None


def transition(view: View) -> Transition | None:
    """Who is the primary comes before everything else."""
    primary = view.primary
    if primary is None:
        return None
    running = primary.seen.running
    cause = failure(primary)
    if cause is not None:
        return FailOver(cause) if view.may_change else None
    if running is not None and running.phase is Phase.READY and running.standing_by and primary.wanted.upstream is None:
        return Promote()
    if view.switchover > view.changes and primary.is_up and view.may_change:
        return SwitchOver() if view.prepared else Prepare()
    return None


def upkeep(view: View) -> Upkeep | None:
    """What a primary that runs, with nothing left to do for itself, does for its standbys."""
    primary = view.primary
    if primary is None or not primary.is_up:
        return None
    standbys, wanted = view.standbys, view.ha_type.standbys
    if primary.instance.waits and view.ha_type is not HaType.SYNC:
        return Wait(False)
    if not view.replicated:
        return Replicate()
    able = [one for one in standbys if one.can_lead]
    if view.waits and view.ahead and able:
        return Share()
    if len(standbys) > wanted:
        return Retire(min(standbys, key=lambda one: (one.instance.joined, one.instance.id.ubid)))
    if len(standbys) < wanted:
        return AddStandby()
    if view.ha_type is HaType.SYNC and not primary.instance.waits and able and all(_is_current(one) for one in able):
        return Wait(True)  # Commits wait already, and would on a standby that became the primary.
    return None


def _is_current(member: Member) -> bool:
    """Whether its server has the configuration that it is to have."""
    running = member.seen.running
    return running is not None and running.configuration == member.wanted.configuration


def standby_step(view: View, member: Member) -> alone.Action | None:
    """The next step for one standby; None when there is none, or none may be taken now."""
    seen, primary = member.seen, view.primary
    primary_is_up = primary is not None and primary.is_up
    if seen.initialised and is_useless(member):
        # Only a primary that runs has everything that may be in what is deleted.
        return alone.Discard() if primary_is_up else None
    if not seen.answering:
        return alone.Kill()
    action = alone.plan(member.wanted, seen)
    if isinstance(action, alone.Copy) and not (primary_is_up and view.replicated):
        return None
    if isinstance(action, alone.AwaitReady) or (view.shrinks and isinstance(action, alone.Start | alone.Stop)):
        return None
    return action


def replica_step(replica: Member, *, source_is_up: bool, may_catch_up: bool) -> alone.Action | CatchUp | None:
    """The next step for the server of a read replica, whose primary is another service's."""
    seen = replica.seen
    running = seen.running
    follows = running is not None and running.standing_by and replica.is_up and seen.damage is None
    if replica.stale is not None and follows and may_catch_up:
        return CatchUp() if source_is_up else None
    useless = replica.stale is not None or seen.damage is not None or seen.failed_starts >= FAILED_STARTS
    written = running is not None and running.phase is Phase.READY and not running.standing_by
    if seen.initialised and (useless or written or alone.is_missing_data(replica.wanted, seen)):
        return alone.Discard() if source_is_up else None
    action = alone.plan(replica.wanted, seen)
    return None if isinstance(action, alone.Copy) and not source_is_up else action


def is_useless(member: Member) -> bool:
    """Whether a standby's data are not, or not any more, those of its primary."""
    seen = member.seen
    if (
        not member.instance.joined
        or alone.is_missing_data(member.wanted, seen)
        or member.stale is not None
        or seen.damage is not None
    ):
        return True
    running = seen.running
    if running is not None and running.phase is Phase.READY and not running.standing_by:
        return True  # Somebody else has promoted it.
    return running is None and seen.failed_starts >= FAILED_STARTS


def primary_step(view: View) -> alone.Action | None:
    """The next step for the primary. Standbys are started again before it: then one of them has what comes next."""
    primary = view.primary
    if primary is None:
        return alone.Allocate()
    return None if view.patient and waits_for_standbys(view) else alone.plan(primary.wanted, primary.seen)


def waits_for_standbys(view: View) -> bool:
    """Whether the primary is to be started again, and standbys are not there again yet."""
    primary = view.primary
    if primary is None or view.shrinks or not isinstance(alone.plan(primary.wanted, primary.seen), alone.Stop):
        return False
    return any(_comes_back(one) for one in view.standbys)


def _comes_back(member: Member) -> bool:
    """A standby that is about to be started again, as its primary is to be."""
    running = member.seen.running
    if running is None:
        return member.instance.joined and member.seen.exit is None
    return running.phase is not Phase.READY or running.restart != member.wanted.restart


def explain(view: View) -> str | None:
    """Why a service whose primary is lost has no other one, in words; None while that is not so."""
    primary = view.primary
    if primary is None or (cause := failure(primary)) is None or not view.standbys:
        return None
    joined = [one for one in view.standbys if one.instance.joined]
    if view.full:
        return f"{cause}; the disk is full, and until there is room no standby can take over"
    if view.candidates:
        return f"{cause}; a standby takes over"
    if not joined:
        return f"{cause}, and no standby has its data"
    if view.waits and view.ahead:
        return (
            f"{cause}, and it had taken over moments ago, so that no standby is known to have all its commits; to go on"
            " without those that they lack: howdah services failover --accept-data-loss"
        )
    if view.waits and any(one.can_lead for one in joined):
        return (
            f"{cause}, and a standby that may have commits which the others lack cannot be asked; to go on without"
            " them: howdah services failover --accept-data-loss"
        )
    return f"{cause}, and no standby lets clients in"
