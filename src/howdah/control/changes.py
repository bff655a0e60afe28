"""What of a service can change, and what to do about the rest."""

from __future__ import annotations

from howdah.domain.catalog import Catalog
from howdah.domain.errors import BadRequest
from howdah.domain.services import Service, ServiceChange


def check_unchanged(service: Service, change: ServiceChange, catalog: Catalog) -> None:
    """Raises BadRequest when ``change`` asks for another value of what cannot change (yet); an equal one is fine."""
    _check("provider", change.provider, service.provider, "create a service there and move the data")
    _check("region", change.region, service.region, "create a service there and move the data")
    _check("postgresVersion", change.postgres_version, service.postgres_version, "create a service of that version")
    if change.size is not None and change.size != service.size.name:
        catalog.size(service.provider, service.region, change.size)
        raise BadRequest(f"size cannot change from '{service.size.name}' to '{change.size}': not yet supported")
    if change.storage_gib is not None and change.storage_gib != service.storage_gib:
        raise BadRequest(
            f"storageSize cannot change by itself (it is {service.storage_gib}): it belongs to the size; leave it out"
        )
    if change.ha_type is not None and change.ha_type is not service.ha_type:
        raise BadRequest(f"haType cannot change from '{service.ha_type}' to '{change.ha_type}': not yet supported")


def _check(field: str, wanted: str | None, present: str, way: str) -> None:
    if wanted is not None and wanted != present:
        raise BadRequest(f"{field} cannot change (it is '{present}'); {way}, or leave the field out")
