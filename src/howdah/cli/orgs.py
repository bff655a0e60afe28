"""``howdah orgs``: directly in the store, whether or not a server runs."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from howdah.cli.actor import this_user
from howdah.cli.options import JsonOption, StateOption
from howdah.cli.output import show_fields, show_json, show_table
from howdah.cli.state import own_store, state_directory
from howdah.domain.organizations import Organization

app = typer.Typer(help="Organizations.", no_args_is_help=True, rich_markup_mode=None)


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
    rows = [list(_fields(organization).values()) for organization in found]
    show_table(("ID", "NAME", "CREATED"), rows, nothing="no organizations")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="1 to 50 characters; need not be unique.")],
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """A new organization. It has no keys yet: howdah keys create --org ID."""
    from howdah.control.access import open_access
    from howdah.control.acts import Act

    by = Act(this_user("organizations create"))
    own_store(directory := state_directory(state))
    with open_access(directory) as access:
        made = asyncio.run(access.create_organization(name, by))
    (show_json if as_json else show_fields)(_fields(made))


def _fields(organization: Organization) -> dict[str, Any]:
    return {
        "id": str(organization.id),
        "name": organization.name,
        "createdAt": organization.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
