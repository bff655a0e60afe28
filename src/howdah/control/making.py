"""A new service as it is stored first: as somebody asks for it, or like another one."""

from __future__ import annotations

from uuid import UUID

from howdah.control.clock import Clock
from howdah.domain.catalog import Catalog, Size
from howdah.domain.deleted import DeletedService
from howdah.domain.ids import ServiceId
from howdah.domain.names import check_name, new_hostname
from howdah.domain.passwords import generate_password
from howdah.domain.services import NewService, Service
from howdah.domain.settings import Settings
from howdah.domain.states import HaType, PostgresVersion, ServiceState
from howdah.domain.tags import Tag, check_tags


class Making:
    def __init__(self, settings: Settings, catalog: Catalog, clock: Clock) -> None:
        self._settings = settings
        self._catalog = catalog
        self._clock = clock

    def asked_for(self, organization: UUID, new: NewService) -> Service:
        """Raises BadRequest naming the field."""
        name = check_name(new.name)
        provider = self._catalog.check_provider(new.provider)
        region = self._catalog.check_region(provider, new.region)
        size = self._catalog.size(provider, region, new.size)
        return self._new(
            organization,
            name,
            size=size,
            place=(provider, region),
            storage_gib=self._catalog.check_storage(size, new.storage_gib),
            version=new.postgres_version,
            ha_type=new.ha_type,
            tags=check_tags(new.tags),
            state=ServiceState.CREATING,
        )

    def like(
        self,
        source: Service | DeletedService,
        *,
        name: str,
        tags: tuple[Tag, ...] | None,
        state: ServiceState,
        is_primary: bool = True,
        password: str | None = None,
    ) -> Service:
        """One without standbys. ``name`` and ``tags`` have been checked; ``tags``: None: those of the source.
        ``password``: None: one of its own."""
        return self._new(
            source.organization,
            name,
            size=source.size,
            place=(source.provider, source.region),
            storage_gib=source.storage_gib,
            version=source.postgres_version,
            ha_type=HaType.NONE,
            tags=source.tags if tags is None else tags,
            state=state,
            is_primary=is_primary,
            password=password,
        )

    def _new(
        self,
        organization: UUID,
        name: str,
        *,
        size: Size,
        place: tuple[str, str],
        storage_gib: int,
        version: PostgresVersion,
        ha_type: HaType,
        tags: tuple[Tag, ...],
        state: ServiceState,
        is_primary: bool = True,
        password: str | None = None,
    ) -> Service:
        identifier, (provider, region) = ServiceId.new(), place
        where = {"region": region, "provider": provider, "domain": self._settings.domain}
        return Service(
            id=identifier,
            organization=organization,
            name=name,
            provider=provider,
            region=region,
            size=size,
            storage_gib=storage_gib,
            postgres_version=version,
            ha_type=ha_type,
            tags=tags,
            hostname=new_hostname(name=name, service=identifier, **where),
            is_primary=is_primary,
            state=state,
            state_reason=None,
            created_at=self._clock(),
            password=generate_password() if password is None else password,
        )
