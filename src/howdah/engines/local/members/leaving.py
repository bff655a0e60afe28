"""Standbys whose data go, so that they count no more among those who have what was committed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from howdah.domain.errors import Unavailable
from howdah.domain.instances import Instance
from howdah.engines.local.actions.stop import kill
from howdah.engines.local.machine import Machine
from howdah.engines.local.members.copies import Copies
from howdah.engines.local.members.membership import slot_of
from howdah.engines.local.members.plan import is_useless
from howdah.engines.local.members.replication import sending
from howdah.engines.local.members.view import Member, View

HAND_OVER_SECONDS = 3.0
"""How long another standby may take to have what one that leaves may have acknowledged."""

_POLL = 0.02


async def discard(machine: Machine, copies: Copies, view: View, member: Member) -> None:
    """Delete a standby's data, to be copied anew. Raises Unavailable while only it may have a commit that a failover
    needs, OSError."""
    await _leave(machine, view, member, stays=_is_nobody_left(view, member))
    await copies.abandon(member.instance.id)
    await asyncio.to_thread(machine.launcher.discard_data, member.instance)
    machine.watch.forget(member.instance.id)


async def retire(machine: Machine, copies: Copies, view: View, member: Member) -> None:
    """Nothing is left of a standby. Raises as ``discard``."""
    await _leave(machine, view, member)
    await copies.abandon(member.instance.id)
    await asyncio.to_thread(machine.launcher.delete, member.instance)
    await machine.registry.remove(member.instance.id)
    machine.watch.forget(member.instance.id)


def _is_nobody_left(view: View, member: Member) -> bool:
    """Whether no other standby that counts is of any use either: each would wait for another one for ever."""
    others = [one for one in view.standbys if one.instance.joined and one.instance.id != member.instance.id]
    return view.waits and bool(others) and all(is_useless(one) for one in others)


async def _leave(machine: Machine, view: View, member: Member, *, stays: bool = False) -> None:
    """What it has acknowledged, and no other standby has, is safe as long as the primary lives: then others get it.
    Only then it does not count any more. ``stays``: it goes on to count, so that nobody takes over without it."""
    await kill(machine, member.instance)
    if not member.instance.joined or stays:
        return
    if view.waits:
        await _hand_over(machine, view, member)
    await machine.registry.put(replace(member.instance, joined=False))


async def _hand_over(machine: Machine, view: View, member: Member) -> None:
    primary = view.primary
    running = primary.seen.running if primary is not None else None
    if primary is None or running is None:
        raise Unavailable("a standby's data stay while there is no primary that has what is in them")
    others = {slot_of(one.instance.id) for one in view.standbys if one.instance.joined} - {slot_of(member.instance.id)}
    if others and not await is_shared(machine, primary.instance, running.pid, others):
        raise Unavailable("a standby's data stay until another one has what is in them")


async def is_shared(machine: Machine, primary: Instance, pid: int, standbys: set[str]) -> bool:
    """Whether one of them has, within a bounded time, everything that the primary has by now. Raises Unavailable."""
    end = time.monotonic() + HAND_OVER_SECONDS
    wanted: int | None = None
    while True:
        now = await sending(machine, primary, pid)
        wanted = now.flushed if wanted is None else wanted
        if any((sent.flushed or 0) >= wanted for name, sent in now.standbys.items() if name in standbys):
            return True
        if time.monotonic() > end:
            return False
        await asyncio.sleep(_POLL)
