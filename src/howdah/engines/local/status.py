"""What one look at the servers of a service means for it."""

from __future__ import annotations

from dataclasses import replace

from howdah.domain.services import Endpoint, ServiceSpec, ServiceStatus
from howdah.domain.states import HaType, ServiceState
from howdah.engines.local.actions.await_ready import progress
from howdah.engines.local.machine import Machine
from howdah.engines.local.members import plan as together
from howdah.engines.local.members.members import Members, Scene, is_settled
from howdah.engines.local.observed import Observed, Phase, Wanted
from howdah.engines.local.plan import explain, is_missing_data, is_ready, is_recovering, lets_clients_in, plan, serves
from howdah.engines.local.troubles import presentable

_HOST = "127.0.0.1"
_LATER, _COPYING, _CATCHING_UP = 1.0, 0.3, 0.1
_REPORTED = 30.0
"""Seconds until another pass: for what becomes better by itself, and for what only a person can repair."""

_NOTHING = Wanted(0, 0, "")


def status_of(
    members: Members, spec: ServiceSpec, scene: Scene, problem: str | None, doing: str | None, *, hurt: bool
) -> ServiceStatus:
    """``problem``: why the last step for its primary failed. ``doing``: how far the making of its data directory is.
    ``hurt``: a step for another server failed."""
    primary = scene.primary
    seen = primary.seen if primary is not None else Observed(instance=None)
    wanted = primary.wanted if primary is not None else _NOTHING
    status = _of_primary(members.machine, spec, wanted, seen, problem, doing)
    if spec.follows is not None:
        return _of_replica(members, scene, status)
    status = replace(status, standbys=members.endpoints(scene))
    if scene.view.standbys and primary is not None and lets_clients_in(primary.wanted, primary.seen):
        # What is left after a change of the primary, or of its standbys, keeps nobody waiting.
        status = replace(status, ready=True)
    if together.transition(scene.view) is not None:
        return replace(status, ready=False, settled=False, retry_after=None)
    if (lost := together.explain(scene.view)) is not None:
        reason = members.succession.refusal(spec.id) or lost
        if primary is not None:
            reason = presentable(reason, members.machine.layout.of(primary.instance))
        status = replace(status, reason=reason)
    if spec.ha_type is HaType.SYNC and not scene.view.waits:
        # Nobody may believe yet that what is committed is kept by two.
        status = replace(status, ready=False)
    if status.retry_after is None and not status.settled:
        return status
    again = [wait for wait in (status.retry_after, members.retry_after(scene, hurt=hurt)) if wait is not None]
    return replace(status, settled=status.settled and is_settled(scene), retry_after=min(again, default=None))


def _of_replica(members: Members, scene: Scene, status: ServiceStatus) -> ServiceStatus:
    """One that waits for its primary, or for its copy, waits; its password is set where it comes from."""
    primary, step = scene.primary, members.replica_step(scene)
    if isinstance(step, together.CatchUp):
        why = "it is brought from the archive what its primary has not any more"
        return replace(status, settled=False, reason=status.reason or why, retry_after=_CATCHING_UP)
    if primary is None or status.ready:
        return status if step is None else replace(status, settled=False)
    reason = status.reason
    if scene.source is None and not primary.seen.initialised:
        reason = "its primary does not run"
    elif members.copies.under_way(primary.instance.id):
        reason = "its data are being copied from its primary"
    if step is None or members.copies.under_way(primary.instance.id):
        return replace(status, reason=reason, retry_after=status.retry_after or _COPYING)
    return replace(status, reason=reason)


def _of_primary(
    machine: Machine, spec: ServiceSpec, wanted: Wanted, seen: Observed, problem: str | None, doing: str | None
) -> ServiceStatus:
    running, instance = seen.running, seen.instance
    settled = is_ready(wanted, seen)
    # Clients are not cut off because a password cannot be set: its tenant needs them to let us in again.
    ready = settled or (problem is not None and serves(wanted, seen))
    reason = explain(wanted, seen) or problem
    restoring = None if reason is not None or ready else _restoring(wanted, seen)
    if restoring is ServiceState.RESTORING_BACKUP:
        reason = doing
    if reason is None and instance is not None and running is not None and running.phase is Phase.STARTING:
        reason = progress(machine, instance)
        if seen.exit is not None:
            reason = f"{reason}; before: {seen.exit}"
    if reason is None and instance is not None and ready and (why := machine.watch.aside(instance.id)):
        reason = (
            f"it could not start with its own settings ({why}) and runs without them; they are in"
            " postgresql.auto.conf.broken of its data directory"
        )
    if reason is not None and instance is not None:
        reason = presentable(reason, machine.layout.of(instance))
    retry_after: float | None = None
    if not ready and instance is not None and plan(wanted, seen) is None:
        retry_after = _REPORTED if is_missing_data(wanted, seen) else seen.wait or _LATER
    return ServiceStatus(
        ready=ready,
        settled=settled,
        primary=Endpoint(_HOST, instance.port) if instance is not None else None,
        reason=reason,
        restart=running.restart if running is not None and running.phase is Phase.READY else None,
        password_version=seen.password_version,
        certificate=spec.certificate if running and running.configuration == wanted.configuration else None,
        retry_after=retry_after,
        restoring=restoring,
    )


def _restoring(wanted: Wanted, seen: Observed) -> ServiceState | None:
    """How far a restoration is; None when there is none, or it is over."""
    if not is_recovering(wanted, seen):
        return None
    if not seen.initialised:
        return ServiceState.RESTORING_BACKUP
    ready = seen.running is not None and seen.running.phase is Phase.READY
    return ServiceState.FINALIZING_RESTORE if ready else ServiceState.REPLAYING_WAL
