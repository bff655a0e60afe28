"""How far the standbys of a service are, asked when its primary is lost or is to change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from howdah.domain.errors import Unavailable
from howdah.engines.local.machine import Machine
from howdah.engines.local.members.replication import Position, position
from howdah.engines.local.members.view import Member

SETTLE_SECONDS = 2.0
"""How long a standby may take to have written, or replayed, what has reached it."""

_POLL = 0.005


@dataclass(frozen=True, slots=True)
class Placed:
    member: Member
    last: int


async def final_positions(machine: Machine, members: Sequence[Member]) -> list[Placed]:
    """Of those that answer, once nothing more comes from the primary: its processes have ended. The one that is
    furthest comes first."""
    found = await asyncio.gather(*(_final(machine, one) for one in members))
    return furthest_first(one for one in found if one is not None)


def furthest_first(placed: Iterable[Placed]) -> list[Placed]:
    return sorted(placed, key=lambda one: (-one.last, one.member.instance.id.ubid))


async def _final(machine: Machine, member: Member) -> Placed | None:
    """One that began to follow but now only has received nothing since: it says how far it is when it has replayed all
    that it has."""
    running = member.seen.running
    assert running is not None
    end = time.monotonic() + SETTLE_SECONDS
    try:
        while True:
            now: Position = await position(machine, member.instance, running.pid)
            if not now.receiving and (now.received is not None or now.at_end):
                return Placed(member, now.last)
            if time.monotonic() > end:
                return Placed(member, now.last) if now.received is not None else None
            await asyncio.sleep(_POLL)
    except Unavailable:
        return None
