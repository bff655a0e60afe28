"""Watches the servers of services that have several, closely: what hangs there has another one to take its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress

import structlog

from howdah.domain.errors import Unavailable
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance, Role
from howdah.engines.local.handshake import is_alive
from howdah.engines.local.members.failover import Known
from howdah.engines.local.members.members import Members
from howdah.engines.local.members.membership import slot_of
from howdah.engines.local.members.replication import sending
from howdah.engines.local.observe import observe
from howdah.engines.local.observed import Observed, Phase
from howdah.engines.local.room import is_full
from howdah.launcher.processes import state_of

_log = structlog.get_logger()

BEAT_SECONDS = 0.2
"""Between two looks at the process of each server."""

FILES_BEATS = 5
"""Between two looks at what is in the data directory of each."""

PROBE_BEATS, PROBE_LIMIT_SECONDS = 10, 2.0
"""Between two questions to each primary, and how long it may take to answer."""

REPLICATION_BEATS = 25
"""Between two looks at who is connected to each primary."""

ABSENCES = 4
"""So many looks without it, one after another, make a standby that lets clients in one whose data are of no use."""

Changed = Callable[[ServiceId], None]
Question = Callable[[Instance, tuple[Instance, ...]], Coroutine[None, None, None]]


class _Pulse:
    def __init__(self, members: Members, changed: Changed) -> None:
        self._members = members
        self._machine = members.machine
        self._changed = changed
        self._suspended: set[InstanceId] = set()
        self._vanished: dict[InstanceId, int] = {}
        self._absent: dict[InstanceId, int] = {}
        self._asking: set[asyncio.Task[None]] = set()

    def beat(self, number: int) -> None:
        """One look at each; questions go on in the background, one at a time to each server."""
        for service, followed in tuple(self._members.followed.items()):
            instances = followed.instances
            for instance in instances:
                self._look(instance, files=number % FILES_BEATS == service.uuid.int % FILES_BEATS)
            primary = next((one for one in instances if one.role is Role.PRIMARY), None)
            if primary is None:
                continue
            if number % PROBE_BEATS == service.uuid.int % PROBE_BEATS:
                self._ask(f"probe {primary.id}", self._probe, primary, instances)
            if number % REPLICATION_BEATS == service.uuid.int % REPLICATION_BEATS:
                self._ask(f"replication {primary.id}", self._replication, primary, (*instances, *followed.replicas))

    def close(self) -> None:
        for task in self._asking:
            task.cancel()

    def _look(self, instance: Instance, *, files: bool) -> None:
        """Whether it is suspended, or its tenant has deleted what is in its data directory."""
        watch = self._machine.watch
        if (pid := watch.pid(instance.id)) is None:
            self._suspended.discard(instance.id)
            return
        suspended = state_of(pid) in ("T", "t")
        if suspended != (instance.id in self._suspended):
            self._suspended ^= {instance.id}
            self._changed(instance.service)
        if not files:
            return
        gone = watch.has_opened(instance.id) and not self._machine.launcher.pid_file(instance)
        looks = self._vanished[instance.id] = self._vanished.get(instance.id, 0) + 1 if gone else 0
        watch.damaged(instance.id, "the data directory of the server has been emptied" if looks > 1 else None)

    def _ask(self, name: str, question: Question, primary: Instance, instances: tuple[Instance, ...]) -> None:
        if any(task.get_name() == name for task in self._asking):
            return
        task = asyncio.create_task(question(primary, instances), name=name)
        self._asking.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._asking.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a member could not be asked", question=task.get_name(), error=repr(error))

    async def _probe(self, primary: Instance, _instances: tuple[Instance, ...]) -> None:
        watch = self._machine.watch
        if (seen := self._leading(primary)) is None or (running := seen.running) is None:
            return
        began = time.monotonic()
        path = f"{self._machine.layout.of(primary).sockets}/.s.PGSQL.{primary.port}"
        alive = await is_alive(path, primary.port, limit=PROBE_LIMIT_SECONDS)
        if watch.pid(primary.id) == running.pid:
            watch.probed(primary.id, alive=alive)
            if alive:
                self._note(primary.id, well_at=began)

    async def _replication(self, primary: Instance, instances: tuple[Instance, ...]) -> None:
        """Until where the primary is, and which standbys follow it: one that does not, time and again, cannot."""
        if (seen := self._leading(primary)) is None or (running := seen.running) is None:
            return
        with suppress(Unavailable):
            now = await sending(self._machine, primary, running.pid)
            self._note(primary.id, flushed=now.flushed)
            for one in instances:
                if one.id != primary.id:
                    self._judge(one, connected=slot_of(one.id) in now.standbys, lost=slot_of(one.id) not in now.keeping)

    def _judge(self, standby: Instance, *, connected: bool, lost: bool) -> None:
        # On a full disk it cannot receive anything, whatever its data are.
        up = self._leading(standby) is not None and not is_full(self._machine.layout)
        absences = self._absent[standby.id] = 0 if connected or not up else self._absent.get(standby.id, 0) + 1
        stale = self._members.stale
        if connected:
            self._members.is_well(standby.id)
        elif up and (absences >= ABSENCES or (lost and absences > 1)) and standby.id not in stale:
            stale[standby.id] = "it does not receive what the primary writes"
            self._changed(standby.service)

    def _leading(self, instance: Instance) -> Observed | None:
        """What is seen of a server that lets clients in; None of another one."""
        seen = observe(self._machine, instance)
        return seen if seen.running is not None and seen.running.phase is Phase.READY else None

    def _note(self, primary: InstanceId, *, flushed: int | None = None, well_at: float | None = None) -> None:
        before = self._members.succession.known.get(primary, Known())
        self._members.succession.known[primary] = Known(flushed or before.flushed, well_at or before.well_at)


async def watch_members(members: Members, changed: Changed) -> None:
    """Until cancelled. ``changed``: called with a service that needs another look."""
    pulse, number = _Pulse(members, changed), 0
    try:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            number += 1
            try:
                pulse.beat(number)
            except Exception as error:  # noqa: BLE001
                # One server that cannot be looked at must not end the watch over all others.
                _log.warning("members could not be looked at", error=repr(error))
    finally:
        pulse.close()
