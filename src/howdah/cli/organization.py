"""Which organization a command is about."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from howdah.domain.errors import BadRequest, NotFound

if TYPE_CHECKING:
    from howdah.control.access import Access


def organization_id(access: Access, wanted: str | None) -> UUID:
    """The organization of that id or name; the only one when nothing is said. Raises BadRequest, NotFound."""
    everyone = access.organizations()
    if wanted is None:
        if len(everyone) == 1:
            return everyone[0].id
        names = ", ".join(f"{organization.id} ({organization.name})" for organization in everyone)
        raise BadRequest(f"there are {len(everyone)} organizations; say which with --org: {names}")
    found = [one.id for one in everyone if wanted in {str(one.id), one.name}]
    if len(found) > 1:
        raise BadRequest(f"{len(found)} organizations are called {wanted!r}; give the id, see howdah orgs list")
    if not found:
        raise NotFound(f"there is no organization {wanted!r}; see howdah orgs list")
    return found[0]
