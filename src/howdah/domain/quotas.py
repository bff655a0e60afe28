"""How many services an organization may have, and how much storage together."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from howdah.domain.errors import Conflict

MOST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Quota:
    """Of one organization. 0 is no limit; None: as the server's settings say."""

    services: int | None = None
    storage_gib: int | None = None

    def over(self, default: Quota) -> Quota:
        """The same with the values of ``default`` where it has none."""
        return Quota(
            services=default.services if self.services is None else self.services,
            storage_gib=default.storage_gib if self.storage_gib is None else self.storage_gib,
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """What an organization has. deleting: services of these that are still being deleted; their storage counts."""

    services: int
    storage_gib: int
    deleting: int


def check_room(organization: UUID, quota: Quota, usage: Usage, *, services: int, storage_gib: int) -> None:
    """Raises Conflict when the organization may not have that much more."""
    _check(organization, "services", quota.services, usage.services, services, usage.deleting)
    _check(organization, "GiB of storage", quota.storage_gib, usage.storage_gib, storage_gib, usage.deleting)


def _check(organization: UUID, what: str, limit: int | None, used: int, more: int, deleting: int) -> None:
    if not limit or used + more <= limit or more <= 0:
        return
    option = "--services" if what == "services" else "--storage-gib"
    command = f"howdah organizations quota {organization} {option} {used + more}"
    going = f" ({deleting} of its services still being deleted)" if deleting else ""
    raise Conflict(
        f"the organization's quota is {limit} {what}: it has {used}{going} and this needs {more} more; delete a"
        f" service, or have the operator raise the quota: {command}"
    )
