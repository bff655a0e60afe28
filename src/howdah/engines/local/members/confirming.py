"""An older copy of the store was put back: what runs of a service is compared with it, and the store follows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from howdah.domain.failovers import ChangeKind, RoleChange
from howdah.domain.ids import InstanceId
from howdah.domain.services import ServiceSecrets, ServiceSpec, ServiceStatus
from howdah.engines.local.actions.stop import kill
from howdah.engines.local.machine import Machine
from howdah.engines.local.members.comparing import (
    Adopt,
    Agree,
    Last,
    Lasts,
    Promoted,
    Undecided,
    by_files,
    by_servers,
    confirmed,
    others_that_lead,
)
from howdah.engines.local.members.members import Members
from howdah.engines.local.members.view import Member, View
from howdah.engines.local.status import status_of

CAUSE = "an older store was put back"

_LATER = 1.0
"""Seconds until another look at what cannot be decided."""

_log = structlog.get_logger()


async def confirm(members: Members, spec: ServiceSpec, secrets: ServiceSecrets) -> ServiceStatus:
    """One pass. Killed anywhere it is done again: what was noted of the roles by then is what runs.
    Raises Unavailable, OSError."""
    machine, replica = members.machine, spec.follows is not None
    scene = members.look(spec, secrets)
    view = scene.view
    lasts = await asyncio.to_thread(_lasts, machine, view)
    verdict = by_servers(view, lasts, replica=replica)
    if verdict is None:
        strangers = await asyncio.to_thread(_strangers, machine, spec)
        verdict = by_files(view, lasts, strangers, replica=replica)
    match verdict:
        case Undecided(why):
            return ServiceStatus(ready=False, settled=False, reason=why, retry_after=_LATER)
        case Promoted():
            _log.warning("a read replica was promoted since", service=spec.id.ubid, cause=CAUSE)
            return ServiceStatus(ready=False, settled=False, confirmed=True, promoted=True)
        case Adopt(leader):
            await _adopt(machine, view, leader, lasts)
        case Agree():
            if view.primary is not None and not replica:
                await _agree(machine, view, view.primary, lasts)
    status = status_of(members, spec, members.look(spec, secrets), None, None, hurt=False)
    return replace(status, confirmed=True)


async def _agree(machine: Machine, view: View, primary: Member, lasts: Lasts) -> None:
    leads, others = confirmed(view, primary, lasts)
    await machine.registry.put(leads, *others)
    for one in others_that_lead(view):
        await kill(machine, one.instance)  # Somebody has said so. There are never two primaries.


async def _adopt(machine: Machine, view: View, leader: Member, lasts: Lasts) -> None:
    assert view.primary is not None
    former = view.primary.instance
    leads, others = confirmed(view, leader, lasts)
    change = RoleChange(
        id=uuid4(),
        service=former.service,
        at=datetime.now(UTC),
        kind=ChangeKind.ADOPTION,
        cause=CAUSE,
        former=former.id,
        new=leads.id,
        first_write_ms=0.0,  # It is the primary: nothing is left to be done for that.
    )
    _log.warning("the primary is another one", service=former.service.ubid, former=str(former.id), new=str(leads.id))
    await machine.registry.put(*(one for one in others if one.id != former.id))
    await machine.registry.change_roles(next(one for one in others if one.id == former.id), leads, change)


def _lasts(machine: Machine, view: View) -> dict[InstanceId, Last]:
    found = {one.instance.id: machine.launcher.last_ran(one.instance) for one in view.members if one.seen.data}
    return {instance: Last(*last) for instance, last in found.items() if last is not None}


def _strangers(machine: Machine, spec: ServiceSpec) -> list[str]:
    """Servers of the service with data, of which the store does not know."""
    known = {one.id.ubid for one in machine.registry.of(spec.id)}
    homes = (one for one in machine.launcher.homes() if one.service == spec.id.ubid and one.used and not one.trash)
    return sorted(one.instance for one in homes if one.instance not in known)
