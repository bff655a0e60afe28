"""What one look at an instance means for its service."""

from __future__ import annotations

from howdah.domain.services import Endpoint, ServiceSpec, ServiceStatus
from howdah.domain.states import ServiceState
from howdah.engines.local.actions.await_ready import progress
from howdah.engines.local.machine import Machine
from howdah.engines.local.observed import Observed, Phase, Wanted
from howdah.engines.local.plan import explain, is_missing_data, is_ready, is_recovering, plan, serves
from howdah.engines.local.troubles import presentable

_HOST = "127.0.0.1"
_LATER = 1.0
_REPORTED = 30.0
"""Seconds until another pass: for what becomes better by itself, and for what only a person can repair."""


def status_of(
    machine: Machine, spec: ServiceSpec, wanted: Wanted, seen: Observed, problem: str | None, doing: str | None
) -> ServiceStatus:
    """``problem``: why the last action failed. ``doing``: how far the making of its data directory is."""
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
    if not ready and plan(wanted, seen) is None:
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
