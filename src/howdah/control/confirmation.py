"""Services of an older store that was put back, once what runs has been compared with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from howdah.control.acts import BY_SYSTEM
from howdah.domain.activities import ActivityType, Deed
from howdah.domain.ids import ServiceId
from howdah.domain.services import ServiceStatus
from howdah.store import service_changes, services
from howdah.store.services import StoredService
from howdah.store.store import Store

_LATER = 1.0


def after_its_source(store: Store, stored: StoredService, status: ServiceStatus) -> ServiceStatus:
    """A read replica that follows is confirmed after the service that it follows: until then nobody knows from which
    server it would be copied."""
    if stored.follows is None or status.promoted:
        return status
    source = services.find(store, stored.follows)
    if source is None or not source.unconfirmed:
        return status
    reason = f"an older store was put back, and it waits for its primary, {stored.follows}"
    return replace(status, ready=False, reason=reason, retry_after=_LATER, confirmed=False)


def note_confirmed(connection: Connection, stored: StoredService, status: ServiceStatus, now: datetime) -> None:
    service = stored.service.id
    if status.promoted and stored.follows is not None:
        service_changes.set_independent(connection, service)
        what = f"from a read replica of {stored.follows}, before an older store was put back"
        deed = Deed(ActivityType.SERVICE_PROMOTE, what, service)
        BY_SYSTEM.note(connection, stored.service.organization, now, deed)
    service_changes.set_confirmed(connection, service)


def relatives(store: Store, stored: StoredService) -> list[ServiceId]:
    """Those that are looked at again when it has been confirmed."""
    source = () if stored.follows is None else (stored.follows,)
    return [*services.followers(store, stored.service.id), *source]
