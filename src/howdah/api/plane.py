"""What the API needs of a control plane. ``howdah.control.plane.ControlPlane`` is one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from howdah.domain.backups import ArchiveStatus, BaseBackup, RestoreSource
from howdah.domain.catalog import Catalog
from howdah.domain.health import Health
from howdah.domain.ids import ServiceId
from howdah.domain.organizations import ApiKey, Organization
from howdah.domain.services import NewService, Service, ServiceChange
from howdah.domain.settings import Settings
from howdah.domain.states import ServiceState
from howdah.domain.tags import Tag


class ServicesLike(Protocol):
    """The services of organizations. Raises the errors of ``domain.errors``, whose sentences name field and rule."""

    def get(self, organization: UUID, id: ServiceId) -> Service: ...
    def list(
        self,
        organization: UUID,
        *,
        state: ServiceState | None = None,
        name: str | None = None,
        tag: Tag | None = None,
    ) -> list[Service]: ...
    def ca_certificates(self, organization: UUID, id: ServiceId) -> str: ...
    async def create(self, organization: UUID, new: NewService) -> Service: ...
    async def change(self, organization: UUID, id: ServiceId, change: ServiceChange) -> Service: ...
    async def delete(self, organization: UUID, id: ServiceId) -> None: ...
    async def set_password(self, organization: UUID, id: ServiceId, password: str | None) -> str | None: ...
    async def restart(self, organization: UUID, id: ServiceId) -> Service: ...


class BackupsLike(Protocol):
    """The backups of services, and new services made from them."""

    async def restore(
        self,
        organization: UUID,
        id: ServiceId,
        *,
        name: str,
        target: datetime | None,
        tags: Sequence[Tag] | None = None,
    ) -> Service: ...
    async def list(self, organization: UUID, id: ServiceId) -> list[BaseBackup]: ...
    async def status(self, organization: UUID, id: ServiceId) -> ArchiveStatus: ...
    async def health(self, organization: UUID, id: ServiceId) -> Health: ...

    def under_way(self, organization: UUID, id: ServiceId) -> datetime | None: ...
    async def request(self, organization: UUID, id: ServiceId) -> int: ...
    def source(self, organization: UUID, id: ServiceId) -> RestoreSource | None: ...
    def is_restored(self, organization: UUID, id: ServiceId) -> bool: ...


class AccessLike(Protocol):
    """Organizations and the keys that act for them."""

    def authenticate(self, key_id: str, secret: str) -> ApiKey | None: ...
    def organization(self, id: UUID) -> Organization: ...
    def keys(self, organization: UUID) -> list[ApiKey]: ...
    def key(self, organization: UUID, id: UUID) -> ApiKey: ...


class PlaneLike(Protocol):
    @property
    def services(self) -> ServicesLike: ...
    @property
    def backups(self) -> BackupsLike: ...
    @property
    def access(self) -> AccessLike: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def router_port(self) -> int:
        """The TCP port on which clients reach services."""
        ...

    @property
    def hostaddr(self) -> str | None:
        """The address that connection strings need beside the hostname; None when hostnames resolve."""
        ...

    def readiness(self) -> dict[str, str]:
        """Empty when ready, else what is not, with the reason."""
        ...
