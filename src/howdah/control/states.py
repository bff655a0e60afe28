"""The rules that derive what a client reads in ``state``. Pure."""

from __future__ import annotations

from howdah.domain.services import ServiceSpec, ServiceStatus
from howdah.domain.states import ServiceState
from howdah.store.services import StoredService


def has_run(stored: StoredService) -> bool:
    """Whether clients could ever connect, so that it has data. An older store that was put back may say so of one that
    has been deleted since."""
    if stored.source is not None:
        return stored.restored_at is not None
    return stored.service.state is not ServiceState.CREATING


def restart_seen(stored: StoredService, spec: ServiceSpec, status: ServiceStatus) -> int:
    """The last restart that is known to be done, after a pass toward ``spec``."""
    if status.ready:
        return max(stored.restart_seen, spec.restart)
    return max(stored.restart_seen, status.restart or 0)


def derive(stored: StoredService, spec: ServiceSpec, status: ServiceStatus) -> tuple[ServiceState, str | None]:
    """The state and its reason after a pass toward ``spec`` that ended in ``status``.

    ``stored`` may have moved on since the pass began: what was ready for an older wish does not end a newer one.
    One that runs may have a reason all the same: a new password cannot be set because its tenant renamed the role,
    perhaps. A status that is not ready and gives no reason means work under way, which changes no state.
    """
    was = stored.service.state
    restarting = restart_seen(stored, spec, status) < stored.restart
    ready = status.ready and stored.password_version == spec.password_version and not restarting
    if was is ServiceState.DELETING:
        return was, None
    if ready:
        return ServiceState.RUNNING, status.reason
    if status.restoring is not None:
        return status.restoring, status.reason
    if was is ServiceState.CREATING:
        return was, status.reason
    if restarting and status.retry_after is None:
        return ServiceState.RESTARTING, status.reason
    if status.reason is None:
        return was, stored.service.state_reason
    return ServiceState.UNAVAILABLE, status.reason
