"""``howdah organizations``: directly in the store, whether or not a server runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from howdah.cli.actor import this_user
from howdah.cli.options import JsonOption, StateOption
from howdah.cli.output import show_fields, show_json, show_table
from howdah.cli.state import own_store, state_directory
from howdah.domain.errors import BadRequest, NotFound
from howdah.domain.organizations import Organization
from howdah.domain.quotas import MOST, Quota
from howdah.domain.tags import parse_retention

if TYPE_CHECKING:
    from howdah.control.access import Access

app = typer.Typer(help="Organizations.", no_args_is_help=True, rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(help="1 to 50 characters; need not be unique.")]
OrganizationArgument = Annotated[str, typer.Argument(metavar="ORGANIZATION", help="Its id or name.")]
DEFAULT = "default"


@app.command("list")
def list_organizations(state: StateOption = None, as_json: JsonOption = False) -> None:
    """All organizations, oldest first."""
    from howdah.control.access import open_access

    own_store(directory := state_directory(state))
    with open_access(directory) as access:
        found = access.organizations()
    if as_json:
        show_json([_fields(organization) for organization in found])
        return
    rows = [[DEFAULT if cell is None else cell for cell in _fields(one).values()] for one in found]
    show_table(("ID", "NAME", "CREATED", "MAX SERVICES", "MAX GIB", "RETENTION DAYS"), rows, nothing="no organizations")


@app.command("create")
def create(name: NameArgument, state: StateOption = None, as_json: JsonOption = False) -> None:
    """A new organization. It has no keys yet: howdah keys create --org ID."""
    from howdah.control.access import open_access
    from howdah.control.acts import Act

    by = Act(this_user("organizations create"))
    own_store(directory := state_directory(state))
    with open_access(directory) as access:
        made = asyncio.run(access.create_organization(name, by))
    _show(made, as_json=as_json)


@app.command("rename")
def rename(
    organization: OrganizationArgument, name: NameArgument, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Another name for an organization; its id stays."""
    from howdah.control.access import open_access
    from howdah.control.acts import Act

    by = Act(this_user("organizations rename"))
    own_store(directory := state_directory(state))
    with open_access(directory) as access:
        changed = asyncio.run(access.rename_organization(organization_of(access, organization), name, by))
    _show(changed, as_json=as_json)


@app.command("quota")
def quota(
    organization: OrganizationArgument,
    services: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Services it may have; 0: no limit; default: as quota.services says.", show_default=False
        ),
    ] = None,
    storage_gib: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="GiB that their storage may sum up to; 0: no limit; default: as quota.storage_gib says.",
            show_default=False,
        ),
    ] = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """What an organization may have: show it or, with options, change it. What is there already stays."""
    from howdah.control.access import open_access
    from howdah.control.acts import Act

    by = Act(this_user("organizations quota"))
    own_store(directory := state_directory(state))
    with open_access(directory) as access:
        found = access.organization(organization_of(access, organization))
        wanted = Quota(
            services=found.quota.services if services is None else _limit(services, "--services"),
            storage_gib=found.quota.storage_gib if storage_gib is None else _limit(storage_gib, "--storage-gib"),
        )
        changed = asyncio.run(access.set_quota(found.id, wanted, by))
    _show(changed, as_json=as_json)


@app.command("retention")
def retention(
    organization: OrganizationArgument,
    days: Annotated[
        str,
        typer.Argument(
            metavar="DAYS",
            help="How long its services can be restored: 1 to 9999; default: what backup.retention_days says.",
        ),
    ],
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """How long the services of an organization can be restored. A running server follows within a minute."""
    from howdah.control.access import open_access
    from howdah.control.acts import Act

    wanted = None if days == DEFAULT else parse_retention(days)
    if wanted is None and days != DEFAULT:
        raise BadRequest(f"DAYS is {days!r}; it must be from 1 to 9999, or {DEFAULT}")
    by = Act(this_user("organizations retention"))
    own_store(directory := state_directory(state))
    with open_access(directory) as access:
        changed = asyncio.run(access.set_retention(organization_of(access, organization), wanted, by))
    _show(changed, as_json=as_json)


def organization_of(access: Access, wanted: str | None) -> UUID:
    """The organization of that id or name; the only one when nothing is said. Raises BadRequest, NotFound."""
    everyone = access.organizations()
    if wanted is None:
        if len(everyone) == 1:
            return everyone[0].id
        names = ", ".join(f"{organization.id} ({organization.name})" for organization in everyone)
        raise BadRequest(f"there are {len(everyone)} organizations; say which with --org: {names}")
    found = [one.id for one in everyone if wanted in {str(one.id), one.name}]
    if len(found) > 1:
        raise BadRequest(
            f"{len(found)} organizations are called {wanted!r}; give the id, see howdah organizations list"
        )
    if not found:
        raise NotFound(f"there is no organization {wanted!r}; see howdah organizations list")
    return found[0]


def _limit(text: str, option: str) -> int | None:
    if text == DEFAULT:
        return None
    if not (text.isascii() and text.isdigit()) or int(text[:12]) > MOST:
        raise BadRequest(f"{option} is {text!r}; it must be a whole number from 0 (no limit) to {MOST}, or {DEFAULT}")
    return int(text)


def _show(organization: Organization, *, as_json: bool) -> None:
    fields = _fields(organization)
    if as_json:
        show_json(fields)
        return
    show_fields({name: DEFAULT if value is None else value for name, value in fields.items()})


def _fields(organization: Organization) -> dict[str, Any]:
    """A limit of None is the server's default."""
    return {
        "id": str(organization.id),
        "name": organization.name,
        "createdAt": organization.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "maxServices": organization.quota.services,
        "maxStorageGiB": organization.quota.storage_gib,
        "retentionDays": organization.retention_days,
    }
