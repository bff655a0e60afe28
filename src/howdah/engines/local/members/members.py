"""The servers of services: looked at together, and one step taken for each that needs one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from howdah.domain.errors import Unavailable
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance, Role
from howdah.domain.services import Endpoint, ServiceSecrets, ServiceSpec
from howdah.engines.local import plan as alone
from howdah.engines.local.actions.start import Following
from howdah.engines.local.adoption import adopt
from howdah.engines.local.archiving.received import Received
from howdah.engines.local.archiving.receiving import Relay
from howdah.engines.local.configuration import Configuration, configuration, max_connections
from howdah.engines.local.machine import Machine
from howdah.engines.local.members import plan as together
from howdah.engines.local.members.catching_up import CatchingUp
from howdah.engines.local.members.copies import Copies
from howdah.engines.local.members.failover import unfinished
from howdah.engines.local.members.leaving import discard, is_shared, retire
from howdah.engines.local.members.membership import Membership, peers, slot_of, standby_arguments
from howdah.engines.local.members.replicating import Replicating
from howdah.engines.local.members.succession import Succession
from howdah.engines.local.members.view import Member, View
from howdah.engines.local.observe import observe
from howdah.engines.local.observed import Observed, Phase, Wanted
from howdah.engines.local.room import is_full
from howdah.launcher.servers import Started

PATIENT_SECONDS = 20.0
"""For how long a primary waits with its restart until its standbys are there again."""

_HOST = "127.0.0.1"
_SOON, _STARTING = 1.0, 0.1
"""Seconds between two looks at what happens by itself."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A service as one look shows it. ``files``: the configuration that each server is to have. ``source``: the primary
    that its standbys are copied from, or that it is a replica of; None while that does not run."""

    membership: Membership
    view: View
    files: Mapping[InstanceId, Configuration]
    source: Observed | None

    @property
    def primary(self) -> Member | None:
        return self.view.primary


@dataclass(frozen=True, slots=True)
class Followed:
    """The servers of a service when it was looked at last, and those of its read replicas."""

    instances: tuple[Instance, ...]
    replicas: tuple[Instance, ...]


@dataclass(slots=True)
class Members:
    """``copies``: data directories being made. ``stale``: standbys whose
    data are of no use to them, and why. ``followed``: services with standbys or read replicas."""

    machine: Machine
    copies: Copies
    catching_up: CatchingUp = field(init=False)
    succession: Succession = field(init=False)
    stale: dict[InstanceId, str] = field(default_factory=dict[InstanceId, str])
    followed: dict[ServiceId, Followed] = field(default_factory=dict[ServiceId, "Followed"])
    _waiting: dict[ServiceId, float] = field(default_factory=dict[ServiceId, float])
    _relays: dict[ServiceId, InstanceId] = field(default_factory=dict[ServiceId, InstanceId])
    _replicating: Replicating = field(init=False)

    def __post_init__(self) -> None:
        self.catching_up = CatchingUp(self.machine)
        self.succession = Succession(self.machine)
        self._replicating = Replicating(self.machine)

    def look(self, spec: ServiceSpec, secrets: ServiceSecrets) -> Scene:
        machine, registry = self.machine, self.machine.registry
        instances = registry.of(spec.id)
        upstream = registry.of(spec.follows) if spec.follows is not None else ()
        seen: dict[InstanceId, Observed] = {}
        for one in (*instances, *upstream):
            adopt(machine, one)
            seen[one.id] = observe(machine, one)
        membership = Membership(instances, upstream, frozenset(one for one in seen if _is_up(seen[one])))
        files = {
            one.id: configuration(
                *(spec, secrets),
                operator=machine.operator,
                profile=machine.profile,
                more=membership.settings(spec, one),
            )
            for one in instances
        }
        members = [
            Member(one, seen[one.id], _wanted(spec, membership, one, files[one.id]), self.stale.get(one.id))
            for one in instances
        ]
        if len(instances) > 1 or spec.followers:
            replicas = tuple(one for other in spec.followers for one in registry.of(other))
            self.followed[spec.id] = Followed(instances, replicas)
        else:
            self.followed.pop(spec.id, None)
        now = time.monotonic()
        view = View(
            ha_type=spec.ha_type,
            members=members,
            changes=registry.count_changes(spec.id) if len(instances) > 1 else 0,
            switchover=spec.switchover,
            accept_loss=spec.accept_loss,
            refused=self.succession.refusal(spec.id) is not None,
            prepared=self.succession.is_prepared(spec.id),
            full=is_full(machine.layout),
        )
        if (primary := view.primary) is not None:
            view = replace(view, replicated=self._replicating.is_done(spec, secrets, membership, primary))
        view = replace(view, patient=self._is_patient(spec.id, view, now))
        lead = next((one for one in upstream or instances if one.role is Role.PRIMARY), None)
        source = seen[lead.id] if lead is not None and lead.id in membership.up else None
        return Scene(membership, view, files, source)

    async def keep_up(self, spec: ServiceSpec, secrets: ServiceSecrets, scene: Scene, step: together.Upkeep) -> None:
        """What a primary does for its standbys. Raises Unavailable, OSError."""
        machine, primary = self.machine, scene.view.primary
        assert primary is not None
        running = primary.seen.running
        assert running is not None
        match step:
            case together.Replicate():
                await self._replicating.step(spec, secrets, scene.membership, scene.view)
            case together.AddStandby():
                await machine.allocation.new(spec.id, Role.STANDBY)
            case together.Retire(member):
                await retire(machine, self.copies, scene.view, member)
                self.is_well(member.instance.id)
            case together.Wait(waits):
                able = {slot_of(one.instance.id) for one in scene.view.standbys if one.can_lead}
                if waits and not await is_shared(machine, primary.instance, running.pid, able):
                    return
                await machine.registry.put(replace(primary.instance, waits=waits, ahead=False))
            case together.Share():
                able = {slot_of(one.instance.id) for one in scene.view.standbys if one.can_lead}
                if await is_shared(machine, primary.instance, running.pid, able):
                    await machine.registry.put(replace(primary.instance, ahead=False))

    async def discard(self, view: View, member: Member) -> None:
        """Raises Unavailable, OSError."""
        await discard(self.machine, self.copies, view, member)
        self.is_well(member.instance.id)

    def is_well(self, standby: InstanceId) -> None:
        """It follows its primary, or is about to be copied anew."""
        self.stale.pop(standby, None)
        self.catching_up.over(standby)

    def replica_step(self, scene: Scene) -> alone.Action | together.CatchUp | None:
        """The next step for a read replica, whose server that of ``scene`` is."""
        replica = scene.primary
        if replica is None:
            return alone.Allocate()
        may_catch_up = self.catching_up.may_help(replica.instance.id)
        return together.replica_step(replica, source_is_up=scene.source is not None, may_catch_up=may_catch_up)

    async def catch_up(self, scene: Scene, replica: Member, received: Received | None) -> None:
        """Raises Unavailable, OSError."""
        source, running = scene.source, replica.seen.running
        if source is None or source.running is None or source.instance is None or running is None:
            raise Unavailable("its primary does not run")
        await self.catching_up.step(replica.instance, running.pid, source.instance, source.running.pid, received)

    def following(self, membership: Membership, secrets: ServiceSecrets, instance: Instance) -> Following | None:
        """How a server is started to follow another; None for one that follows nobody."""
        if membership.follows(instance) is None and unfinished(self.machine, instance) is None:
            return None
        arguments = standby_arguments(membership, instance, self.machine.layout.of(instance))
        return Following(arguments, secrets.replication_password, peers(membership, instance))

    def retry_after(self, scene: Scene, *, hurt: bool) -> float | None:
        """Seconds until another look makes sense though nothing may say so; None when it does not. ``hurt``: a step for
        a standby failed."""
        waits = [wait for one in scene.view.standbys if (wait := self._retry_after(scene, one)) is not None]
        if (step := together.upkeep(scene.view)) is not None:
            waits.append(_STARTING if isinstance(step, together.Wait | together.Share) else 0.0)
        soonest = min(waits, default=None)
        return soonest if soonest is None or not hurt else max(soonest, _SOON)

    def _retry_after(self, scene: Scene, member: Member) -> float | None:
        seen = member.seen
        step = together.standby_step(scene.view, member)
        if isinstance(step, alone.Copy):
            under_way = self.copies.under_way(member.instance.id)
            return None if under_way else self.copies.wait(member.instance.id)
        if step is not None:
            return 0.0
        if seen.running is not None and seen.running.phase is not Phase.READY:
            return _STARTING
        return max(seen.wait, _STARTING) if seen.running is None and seen.initialised else None

    def endpoints(self, scene: Scene) -> tuple[Endpoint, ...]:
        """Where its standbys let clients in."""
        return tuple(Endpoint(_HOST, one.instance.port) for one in scene.view.standbys if one.can_lead)

    def relay(self, scene: Scene) -> Relay | None:
        """The standby from which the archive receives what is committed; None where that is the primary. Each commit
        that waits wakes its primary's senders: one less makes them faster."""
        view = scene.view
        if view.primary is None or not view.waits or view.ahead:
            return None
        able = [one for one in view.standbys if one.can_lead and one.stale is None]
        before = self._relays.get(view.primary.instance.service)
        able.sort(key=lambda one: (one.instance.id != before, one.instance.id.ubid))
        if not able or (running := able[0].seen.running) is None:
            return None
        chosen = able[0]
        self._relays[chosen.instance.service] = chosen.instance.id
        sockets = self.machine.layout.of(chosen.instance).sockets
        return Relay(Started(running.pid, running.started), sockets, chosen.instance.port)

    def forget(self, service: ServiceId) -> None:
        self.followed.pop(service, None)
        self.succession.forget(service)
        self._waiting.pop(service, None)
        self._relays.pop(service, None)

    async def close(self) -> None:
        await self.succession.close()
        await self.copies.close()

    def _is_patient(self, service: ServiceId, view: View, now: float) -> bool:
        """Whether a primary that is to be started again still waits until its standbys have been."""
        if not together.waits_for_standbys(view):
            self._waiting.pop(service, None)
            return True
        return now - self._waiting.setdefault(service, now) < PATIENT_SECONDS


def _wanted(spec: ServiceSpec, membership: Membership, instance: Instance, files: Configuration) -> Wanted:
    return Wanted(
        restart=spec.restart,
        password_version=spec.password_version,
        configuration=files.digest,
        restored=spec.source is not None,
        connections=max_connections(spec.size),
        upstream=(upstream := membership.follows(instance)),
        ran=spec.ran and upstream is None,
    )


def _is_up(seen: Observed) -> bool:
    return seen.running is not None and seen.running.phase is Phase.READY and not seen.running.suspended


def is_settled(scene: Scene) -> bool:
    """Whether nothing is left to do for its standbys, but for what goes on in the background."""
    steps = (together.standby_step(scene.view, one) for one in scene.view.standbys)
    return together.upkeep(scene.view) is None and all(step is None or isinstance(step, alone.Copy) for step in steps)
