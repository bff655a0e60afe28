"""A read replica that needs WAL which its primary has not any more is brought that from the archive, part by part: it
goes on from where it is, and can be read meanwhile."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from howdah.backup.errors import BackupError
from howdah.backup.wal import SEGMENT_BYTES
from howdah.domain.ids import InstanceId
from howdah.domain.instances import Instance
from howdah.engines.local.archiving.received import Received
from howdah.engines.local.machine import Machine
from howdah.engines.local.members.carrying import pieces
from howdah.engines.local.members.membership import slot_of
from howdah.engines.local.members.replication import kept_from, make_slots, position

LONGEST = 16 << 30
"""Bytes of WAL that a replica may lack; to replay more takes longer than to copy its primary."""

STUCK_SECONDS = 20.0
"""One that has replayed all that it has, and gets no further for so long, lacks something else."""


@dataclass(slots=True)
class CatchingUp:
    """``_reached``: how far replicas are (LSN), and since when. ``_beyond_help``: those that have to be copied."""

    machine: Machine
    _reached: dict[InstanceId, tuple[int, float]] = field(default_factory=dict[InstanceId, tuple[int, float]])
    _beyond_help: set[InstanceId] = field(default_factory=set[InstanceId])

    def may_help(self, replica: InstanceId) -> bool:
        return replica not in self._beyond_help

    def over(self, replica: InstanceId) -> None:
        """It follows its primary again, or its data are gone."""
        self._reached.pop(replica, None)
        self._beyond_help.discard(replica)

    async def step(
        self, replica: Instance, pid: int, primary: Instance, primary_pid: int, received: Received | None
    ) -> None:
        """Bring it what comes next, if it has replayed all before. Where that cannot be, ``may_help`` says so from then
        on. ``received``: what the archive has of its primary. Raises Unavailable, OSError."""
        try:
            goes_on = received is not None and await self._step(replica, pid, primary, primary_pid, received)
        except BackupError:
            goes_on = False  # Its primary is nearer than an archive that cannot be reached, or is damaged.
        if not goes_on:
            self._beyond_help.add(replica.id)

    async def _step(self, replica: Instance, pid: int, primary: Instance, primary_pid: int, received: Received) -> bool:
        now = await position(self.machine, replica, pid)
        if now.receiving or not now.at_end:
            return True
        if self._is_stuck(replica.id, now.last):
            return False
        slot = slot_of(replica.id)
        kept = await kept_from(self.machine, primary, primary_pid, slot)
        if kept is None:
            await make_slots(self.machine, primary, primary_pid, [slot])
            kept = await kept_from(self.machine, primary, primary_pid, slot)
        if kept is None or kept - now.last > LONGEST:
            return False
        if now.last < kept - kept % SEGMENT_BYTES:
            await asyncio.to_thread(self._bring, replica, received, now.last)
        return True

    def _is_stuck(self, replica: InstanceId, reached: int) -> bool:
        before, since = self._reached.get(replica, (-1, 0.0))
        if reached > before:
            self._reached[replica] = reached, time.monotonic()
            return False
        return time.monotonic() - since > STUCK_SECONDS

    def _bring(self, replica: Instance, received: Received, position: int) -> None:
        for piece in pieces(received.read, position):
            self.machine.launcher.write_wal(replica, piece.name, piece.offset, piece.content)
