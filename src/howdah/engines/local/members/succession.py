"""Who is the primary: changes of it, one at a time, and those that were not possible."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace

from howdah.backup.wal import lsn
from howdah.domain.errors import Unavailable
from howdah.domain.failovers import RoleChange
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.services import ServiceSecrets, ServiceSpec
from howdah.engines.local.archiving.received import Received
from howdah.engines.local.machine import Machine
from howdah.engines.local.members import plan as together
from howdah.engines.local.members.failover import Known, fail_over, finish, prepare_switchover, switch_over
from howdah.engines.local.members.replication import has_password
from howdah.engines.local.members.view import Member, View
from howdah.engines.local.observe import observe
from howdah.engines.local.record import encode_applied, read_applied
from howdah.engines.local.troubles import presentable

REFUSED_SECONDS = 5.0
"""After a failover that was not possible, for how long the primary is tried as if there were no standbys."""

PREPARED_SECONDS = 3.0


@dataclass(slots=True)
class Succession:
    """``known``: what was last known of primaries."""

    machine: Machine
    known: dict[InstanceId, Known] = field(default_factory=dict[InstanceId, Known])
    _refused: dict[ServiceId, tuple[float, str]] = field(default_factory=dict[ServiceId, tuple[float, str]])
    _prepared: dict[ServiceId, float] = field(default_factory=dict[ServiceId, float])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    def is_prepared(self, service: ServiceId) -> bool:
        """Whether a switchover may begin."""
        return time.monotonic() < self._prepared.get(service, 0.0)

    def refusal(self, service: ServiceId) -> str | None:
        """Why a change of the primary was not possible moments ago."""
        until, why = self._refused.get(service, (0.0, ""))
        return why if time.monotonic() < until else None

    async def step(
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

    def forget(self, service: ServiceId) -> None:
        self._refused.pop(service, None)
        self._prepared.pop(service, None)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _count_loss(self, change: RoleChange, position: int, received: Received) -> None:
        """What the former primary had written, and the new one never got. It takes longer than all the rest."""
        if (end := await asyncio.to_thread(received.until, position)) is not None:
            await self.machine.registry.complete(replace(change, lost_bytes=max(0, end - position)))

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
