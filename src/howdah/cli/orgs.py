"""``howdah orgs``: directly in the store, whether or not a server runs."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from howdah.cli.options import JsonOption, StateOption
from howdah.cli.organization import organization_id
from howdah.cli.output import show_fields, show_json, show_table
from howdah.cli.state import own_store, state_directory
from howdah.domain.errors import BadRequest
from howdah.domain.organizations import Organization
from howdah.domain.tags import parse_retention

DEFAULT = "default"
"""What the server's settings say."""

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
    rows = [[DEFAULT if value is None else value for value in _fields(one).values()] for one in found]
    show_table(("ID", "NAME", "CREATED", "RETENTION DAYS"), rows, nothing="no organizations")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="1 to 50 characters; need not be unique.")],
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """A new organization. It has no keys yet: howdah keys create --org ID."""
    from howdah.control.access import open_access

    own_store(directory := state_directory(state))
    with open_access(directory) as access:
        made = asyncio.run(access.create_organization(name))
    (show_json if as_json else show_fields)(_fields(made))


@app.command("set")
def change(
    organization: Annotated[str, typer.Argument(metavar="ORG", help="Its id, or its name where that is unique.")],
    retention_days: Annotated[
        str,
        typer.Option(
            metavar="DAYS",
            help="How long its services can be restored: 1 to 9999; default: what backup.retention_days says.",
        ),
    ],
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change an organization. A running server follows within a minute."""
    from howdah.control.access import open_access

    days = None if retention_days == DEFAULT else parse_retention(retention_days)
    if days is None and retention_days != DEFAULT:
        raise BadRequest(f"--retention-days is {retention_days!r}; it must be from 1 to 9999, or {DEFAULT}")
    own_store(directory := state_directory(state))
    with open_access(directory) as access:
        changed = asyncio.run(access.set_retention(organization_id(access, organization), days))
    (show_json if as_json else show_fields)(_fields(changed))


def _fields(organization: Organization) -> dict[str, Any]:
    return {
        "id": str(organization.id),
        "name": organization.name,
        "createdAt": organization.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "retentionDays": organization.retention_days,
    }
