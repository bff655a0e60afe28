"""What a primary needs so that standbys can come to it: a role, a slot for each, and the same ready on each of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from howdah.domain.ids import InstanceId
from howdah.domain.instances import Instance
from howdah.domain.services import ServiceSecrets, ServiceSpec
from howdah.engines.local.archiving.receiver import SLOT
from howdah.engines.local.machine import Machine
from howdah.engines.local.members.membership import Membership, slot_of
from howdah.engines.local.members.replication import ensure_replication, expect_standbys
from howdah.engines.local.members.view import Member, View
from howdah.engines.local.observed import Running
from howdah.security.scram import verifier


@dataclass(slots=True)
class Replicating:
    """``_noted``: what each primary was seen to, and for whom."""

    machine: Machine
    _noted: dict[InstanceId, object] = field(default_factory=dict[InstanceId, object])

    def is_done(self, spec: ServiceSpec, secrets: ServiceSecrets, membership: Membership, primary: Member) -> bool:
        if spec.follows is not None:
            return True
        if not secrets.replication_password:
            return True  # It never had any, nor slots that the last control plane left.
        return self._noted.get(primary.instance.id) == self._needs(spec, secrets, membership, primary.seen.running)

    async def step(self, spec: ServiceSpec, secrets: ServiceSecrets, membership: Membership, view: View) -> None:
        """Raises Unavailable."""
        primary = view.primary
        assert primary is not None
        running = primary.seen.running
        assert running is not None
        await ensure_replication(
            *(self.machine, primary.instance, running.pid),
            verifier=await asyncio.to_thread(_verifier, spec, secrets),
            slots=self._slots(spec, membership),
            kept=[SLOT],
        )
        for one in view.standbys:
            if one.can_lead and one.seen.running is not None:
                others = membership.others(one.instance)
                names = [slot_of(other.id) for other in others if other.id != primary.instance.id]
                await expect_standbys(self.machine, one.instance, one.seen.running.pid, names)
        self._noted[primary.instance.id] = self._needs(spec, secrets, membership, running)

    def _slots(self, spec: ServiceSpec, membership: Membership) -> list[str]:
        followers: Iterable[Instance] = (one for other in spec.followers for one in self.machine.registry.of(other))
        return sorted(slot_of(one.id) for one in (*membership.standbys, *followers))

    def _needs(
        self, spec: ServiceSpec, secrets: ServiceSecrets, membership: Membership, running: Running | None
    ) -> object:
        process = (running.pid, running.started) if running is not None else None
        slots = tuple(self._slots(spec, membership))
        return process, slots, spec.followers, membership.up, secrets.replication_password


def _verifier(spec: ServiceSpec, secrets: ServiceSecrets) -> str:
    """Always the same one, so that a server which has it is left as it is; the password is a random one."""
    salt = hashlib.sha256(f"replication {spec.id.ubid}".encode()).digest()[:16]
    return verifier(secrets.replication_password, salt=salt)
