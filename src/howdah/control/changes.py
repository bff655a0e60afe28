"""What of a service can change, and what to do about the rest."""

from __future__ import annotations

from dataclasses import replace

from howdah.domain.catalog import Catalog, Size
from howdah.domain.errors import BadRequest
from howdah.domain.names import check_name
from howdah.domain.services import Service, ServiceChange
from howdah.domain.states import HaType
from howdah.domain.tags import check_tags
from howdah.store.services import StoredService

_GIB = 1 << 30
_FULL = 0.8
"""How full a smaller size may be from the beginning (contract: PATCH, size)."""


def checked(change: ServiceChange) -> ServiceChange:
    """The same, in its stored form. Raises BadRequest when a name or a tag breaks its rule."""
    return replace(
        change,
        name=None if change.name is None else check_name(change.name),
        tags=None if change.tags is None else check_tags(change.tags),
    )


def check_unchanged(stored: StoredService, change: ServiceChange, catalog: Catalog) -> None:
    """Raises BadRequest when ``change`` asks for another value of what cannot change; an equal one is fine."""
    service = stored.service
    _check("provider", change.provider, service.provider, "create a service there and move the data")
    _check("region", change.region, service.region, "create a service there and move the data")
    _check("postgresVersion", change.postgres_version, service.postgres_version, "create a service of that version")
    size = new_size(service, change, catalog)
    storage_gib = service.storage_gib if size is None else size.storage_gib
    if change.storage_gib is not None and change.storage_gib != storage_gib:
        raise BadRequest(
            f"storageSize cannot change by itself (it is {storage_gib}): it belongs to the size; leave it out"
        )
    if stored.follows is not None and size is not None:
        raise BadRequest(f"the size of a read replica is that of its primary; change it there: {stored.follows}")
    if stored.follows is not None and change.ha_type not in (None, HaType.NONE):
        raise BadRequest("haType cannot change: a read replica has no standbys; promote it first")


def new_size(service: Service, change: ServiceChange, catalog: Catalog) -> Size | None:
    """The size that it is to have; None when that does not change. Raises BadRequest for one that is not offered."""
    if change.size is None or change.size == service.size.name:
        return None
    return catalog.size(service.provider, service.region, change.size)


def check_room(size: Size, stored_bytes: int) -> None:
    """Raises BadRequest when what is stored would fill ``size`` too much."""
    if stored_bytes > _FULL * size.storage_gib * _GIB:
        raise BadRequest(
            f"size {size.name} has {size.storage_gib} GiB, and what is stored, {stored_bytes / _GIB:.1f} GiB, is more"
            f" than {_FULL:.0%} of that"
        )


def _check(field: str, wanted: str | None, present: str, way: str) -> None:
    if wanted is not None and wanted != present:
        raise BadRequest(f"{field} cannot change (it is '{present}'); {way}, or leave the field out")
