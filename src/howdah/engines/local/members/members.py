"""The servers of services: looked at together, and one step taken for each that needs one."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from howdah.backup.wal import lsn
from howdah.domain.errors import Unavailable
from howdah.domain.failovers import RoleChange
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance, Role
from howdah.domain.services import Endpoint, ServiceSecrets, ServiceSpec
from howdah.engines.local import plan as alone
from howdah.engines.local.actions.start import Following
from howdah.engines.local.adoption import adopt
from howdah.engines.local.archiving.received import Received
from howdah.engines.local.archiving.receiver import SLOT
from howdah.engines.local.archiving.receiving import Relay
from howdah.engines.local.configuration import Configuration, configuration, max_connections
from howdah.engines.local.machine import Machine
from howdah.engines.local.members import plan as together
from howdah.engines.local.members.catching_up import CatchingUp
from howdah.engines.local.members.copies import Copies
from howdah.engines.local.members.failover import Known, fail_over, finish, prepare_switchover, switch_over, unfinished
from howdah.engines.local.members.leaving import discard, is_shared, retire
from howdah.engines.local.members.membership import Membership, peers, slot_of, standby_arguments
from howdah.engines.local.members.plan import Member, View
from howdah.engines.local.members.replication import ensure_replication, expect_standbys, has_password
from howdah.engines.local.observe import observe
from howdah.engines.local.observed import Observed, Phase, Wanted
from howdah.engines.local.record import encode_applied, read_applied
from howdah.engines.local.room import is_full
from howdah.engines.local.troubles import presentable
from howdah.launcher.servers import Started
from howdah.security.scram import verifier

REFUSED_SECONDS = 5.0
"""After a failover that was not possible, for how long the primary is tried as if there were no standbys."""

PREPARED_SECONDS = 3.0

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
    """``copies``: data directories being made. ``known``: what was last known of primaries. ``stale``: standbys whose
    data are of no use to them, and why. ``followed``: services with standbys or read replicas."""

    machine: Machine
    copies: Copies
    catching_up: CatchingUp = field(init=False)
    known: dict[InstanceId, Known] = field(default_factory=dict[InstanceId, Known])
    stale: dict[InstanceId, str] = field(default_factory=dict[InstanceId, str])
    followed: dict[ServiceId, Followed] = field(default_factory=dict[ServiceId, "Followed"])
    _refused: dict[ServiceId, tuple[float, str]] = field(default_factory=dict[ServiceId, tuple[float, str]])
    _prepared: dict[ServiceId, float] = field(default_factory=dict[ServiceId, float])
    _waiting: dict[ServiceId, float] = field(default_factory=dict[ServiceId, float])
    _relays: dict[ServiceId, InstanceId] = field(default_factory=dict[ServiceId, InstanceId])
    _replicated: dict[InstanceId, object] = field(default_factory=dict[InstanceId, object])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    def __post_init__(self) -> None:
        self.catching_up = CatchingUp(self.machine)

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
            refused=now < self._refused.get(spec.id, (0.0, ""))[0],
            prepared=now < self._prepared.get(spec.id, 0.0),
            full=is_full(machine.layout),
        )
        if (primary := view.primary) is not None:
            view = replace(view, replicated=self._is_replicated(spec, secrets, membership, primary))
        view = replace(view, patient=self._is_patient(spec.id, view, now))
        lead = next((one for one in upstream or instances if one.role is Role.PRIMARY), None)
        source = seen[lead.id] if lead is not None and lead.id in membership.up else None
        return Scene(membership, view, files, source)

    async def change_roles(
        self,
        spec: ServiceSpec,
        secrets: ServiceSecrets,
        view: View,
        step: together.Transition,
        received: Received | None,
    ) -> None:
        """Who is the primary. ``received``: what its archive has of what it wrote; None without one.
        Raises Unavailable, OSError."""
        machine, primary = self.machine, view.primary
        assert primary is not None
        try:
            match step:
                case together.FailOver(cause):
                    cause = presentable(cause, machine.layout.of(primary.instance))
                    known = self.known.get(primary.instance.id, Known())
                    change = await fail_over(machine, view, cause, known, received)
                    await self._carry_password(spec, secrets, primary, change.new)
                    if change.lost_bytes is None and change.position is not None and received is not None:
                        self._in_background(self._count_loss(change, lsn(change.position), received))
                case together.Prepare():
                    await prepare_switchover(machine, view)
                    self._prepared[spec.id] = time.monotonic() + PREPARED_SECONDS
                case together.SwitchOver():
                    self._prepared.pop(spec.id, None)
                    change = await switch_over(machine, view)
                    await self._carry_password(spec, secrets, primary, change.new)
                case together.Promote():
                    await finish(machine, primary)
        except (Unavailable, OSError) as error:
            self._refused[spec.id] = (time.monotonic() + REFUSED_SECONDS, str(error))
            raise
        self._refused.pop(spec.id, None)

    async def keep_up(self, spec: ServiceSpec, secrets: ServiceSecrets, scene: Scene, step: together.Upkeep) -> None:
        """What a primary does for its standbys. Raises Unavailable, OSError."""
        machine, primary = self.machine, scene.view.primary
        assert primary is not None
        running = primary.seen.running
        assert running is not None
        match step:
            case together.Replicate():
                await ensure_replication(
                    *(machine, primary.instance, running.pid),
                    verifier=await asyncio.to_thread(_verifier, spec, secrets),
                    slots=self._slots(spec, scene.membership),
                    kept=[SLOT],
                )
                for one in scene.view.standbys:
                    if one.can_lead and one.seen.running is not None:
                        others = scene.membership.others(one.instance)
                        names = [slot_of(other.id) for other in others if other.id != primary.instance.id]
                        await expect_standbys(machine, one.instance, one.seen.running.pid, names)
                self._replicated[primary.instance.id] = self._replication(spec, secrets, scene.membership, primary)
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

    def refusal(self, service: ServiceId) -> str | None:
        """Why a change of the primary was not possible moments ago."""
        until, why = self._refused.get(service, (0.0, ""))
        return why if time.monotonic() < until else None

    def forget(self, service: ServiceId) -> None:
        self.followed.pop(service, None)
        self._refused.pop(service, None)
        self._prepared.pop(service, None)
        self._waiting.pop(service, None)
        self._relays.pop(service, None)

    async def _carry_password(
        self, spec: ServiceSpec, secrets: ServiceSecrets, former: Member, new: InstanceId
    ) -> None:
        """What was set at the former primary has come to the new one, as a rule; then it need not be set again."""
        machine = self.machine
        instance = next(one for one in machine.registry.of(spec.id) if one.id == new)
        running = observe(machine, instance).running
        if running is None or former.seen.password_version != spec.password_version:
            return
        with suppress(Unavailable):
            if await has_password(machine, instance, running.pid, secrets.password_verifier):
                note = read_applied(machine.launcher.look(instance, running.pid).applied)
                note = replace(note, password_version=spec.password_version)
                await asyncio.to_thread(machine.launcher.note, instance, encode_applied(note))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.copies.close()

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _count_loss(self, change: RoleChange, position: int, received: Received) -> None:
        """What the former primary had written, and the new one never got. It takes longer than all the rest."""
        if (end := await asyncio.to_thread(received.until, position)) is not None:
            await self.machine.registry.complete(replace(change, lost_bytes=max(0, end - position)))

    def _slots(self, spec: ServiceSpec, membership: Membership) -> list[str]:
        followers: Iterable[Instance] = (one for other in spec.followers for one in self.machine.registry.of(other))
        return sorted(slot_of(one.id) for one in (*membership.standbys, *followers))

    def _replication(
        self, spec: ServiceSpec, secrets: ServiceSecrets, membership: Membership, primary: Member
    ) -> object:
        running = primary.seen.running
        process = (running.pid, running.started) if running is not None else None
        slots = tuple(self._slots(spec, membership))
        return process, slots, spec.followers, membership.up, secrets.replication_password

    def _is_patient(self, service: ServiceId, view: View, now: float) -> bool:
        """Whether a primary that is to be started again still waits until its standbys have been."""
        if not together.waits_for_standbys(view):
            self._waiting.pop(service, None)
            return True
        return now - self._waiting.setdefault(service, now) < PATIENT_SECONDS

    def _is_replicated(
        self, spec: ServiceSpec, secrets: ServiceSecrets, membership: Membership, primary: Member
    ) -> bool:
        if spec.follows is not None:
            return True
        if not secrets.replication_password:
            return True  # It never had any, nor slots that the last control plane left.
        noted = self._replicated.get(primary.instance.id)
        return noted == self._replication(spec, secrets, membership, primary)


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


def _verifier(spec: ServiceSpec, secrets: ServiceSecrets) -> str:
    """Always the same one, so that a server which has it is left as it is; the password is a random one."""
    salt = hashlib.sha256(f"replication {spec.id.ubid}".encode()).digest()[:16]
    return verifier(secrets.replication_password, salt=salt)


def is_settled(scene: Scene) -> bool:
    """Whether nothing is left to do for its standbys, but for what goes on in the background."""
    steps = (together.standby_step(scene.view, one) for one in scene.view.standbys)
    return together.upkeep(scene.view) is None and all(step is None or isinstance(step, alone.Copy) for step in steps)
