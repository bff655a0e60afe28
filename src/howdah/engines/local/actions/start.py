"""A server process of its own session, which outlives us."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from howdah.domain.instances import Instance
from howdah.domain.services import ServiceSpec
from howdah.engines.local.actions.await_ready import await_ready
from howdah.engines.local.binaries import LOCALE
from howdah.engines.local.configuration import max_connections, recovery_arguments, settings
from howdah.engines.local.machine import Machine
from howdah.launcher.limits import limits_for
from howdah.launcher.servers import Started

_TRIES = 8
"""Of that many starts that fail in a row, one is made without the tenant's own settings: the first."""


@dataclass(frozen=True, slots=True)
class Following:
    """How a standby is started. ``arguments``: of its command line; ``password``: that it comes to its primary with;
    ``peers``: ports of other servers that it may connect to."""

    arguments: Mapping[str, str]
    password: str = field(repr=False)
    peers: Sequence[int] = ()


async def start(
    machine: Machine,
    instance: Instance,
    spec: ServiceSpec,
    digest: str,
    *,
    recovery: str | None = None,
    following: Following | None = None,
) -> None:
    """Start it and wait a bounded time for it to be ready; only some do so at once.
    ``recovery``: where the recovery of its first start ends, see record.py. ``following``: None for a primary.

    Raises OSError, also when processes of the previous server do not end.
    """
    async with machine.starts:
        work = asyncio.to_thread(_start, machine, instance, spec, digest, recovery, following)
        spawned = asyncio.ensure_future(work)
        spawned.add_done_callback(lambda done: _hold(machine, instance, done))
        # Whoever stops waiting: a process that has been started is watched.
        await asyncio.shield(spawned)
        if following is None:
            await await_ready(machine, instance)


def _hold(machine: Machine, instance: Instance, spawned: asyncio.Future[Started]) -> None:
    if not spawned.cancelled() and spawned.exception() is None:
        machine.watch.hold(instance, spawned.result())


def _start(
    machine: Machine,
    instance: Instance,
    spec: ServiceSpec,
    digest: str,
    recovery: str | None,
    following: Following | None,
) -> Started:
    if failed := machine.watch.failed_starts(instance.id):
        # Its tenant's own settings may be why: now and then it is tried without them.
        aside = failed % _TRIES == 1
        moved = machine.launcher.set_aside(instance, aside=aside)
        machine.watch.put_aside(instance.id, machine.watch.last_exit(instance.id) if moved and aside else None)
    arguments = settings(spec, instance, machine.layout.of(instance), shared=machine.launcher.rights.privileged)
    arguments |= {"howdah.configuration": digest}
    if recovery is not None:
        arguments |= recovery_arguments(recovery, machine.layout.of(instance))
    if following is not None:
        arguments |= following.arguments
    line = [f"--{name}={value}" for name, value in arguments.items()]
    limits = limits_for(
        spec.size, max_connections=max_connections(spec.size), own_user=machine.launcher.rights.privileged
    )
    version = machine.binaries[spec.postgres_version].full
    return machine.launcher.start(
        instance,
        version,
        line,
        environment=LOCALE,
        limits=limits,
        storage_gib=spec.size.storage_gib,
        recovering=recovery is not None,
        standby=following.password.encode() if following is not None else None,
        peers=following.peers if following is not None else (),
    )
