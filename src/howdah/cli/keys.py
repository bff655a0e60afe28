"""``howdah keys``: directly in the store; a running server sees the change at once."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from howdah.cli.actor import this_user
from howdah.cli.options import JsonOption, StateOption
from howdah.cli.organizations import organization_of
from howdah.cli.output import note, show_fields, show_json, show_table
from howdah.cli.state import own_store, state_directory
from howdah.domain.organizations import ApiKey, ApiVersion, Role

app = typer.Typer(help="API keys.", no_args_is_help=True, rich_markup_mode=None)

OrganizationOption = Annotated[
    str | None,
    typer.Option("--org", metavar="ID", help="Its id or name. Not needed while there is one only.", show_default=False),
]


@app.command("list")
def list_keys(organization: OrganizationOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """The keys of an organization, oldest first, without their secrets."""
    from howdah.control.access import open_access

    own_store(directory := state_directory(state))
    with open_access(directory) as access:
        found = access.keys(organization_of(access, organization))
    if as_json:
        show_json([_fields(key) for key in found])
        return
    columns = ("KEY ID", "NAME", "ROLE", "STATE", "SECRET", "API", "CREATED")
    show_table(columns, [_row(key) for key in found], nothing="no keys")


@app.command("create")
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")] = "from the command line",
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.ADMIN,
    api_version: Annotated[
        ApiVersion | None,
        typer.Option(help="The API version of requests with this key that choose none.", show_default=False),
    ] = None,
    organization: OrganizationOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """A new key. Its secret is shown now and never again."""
    from howdah.control.access import open_access
    from howdah.control.acts import Act

    by = Act(this_user("keys create"))
    own_store(directory := state_directory(state))
    with open_access(directory) as access:
        owner = organization_of(access, organization)
        key, secret = asyncio.run(access.create_key(owner, name=name, role=role, api_version=api_version, by=by))
    if as_json:
        show_json(_fields(key) | {"keySecret": secret})
        return
    show_fields({"KEY_ID": key.key_id, "KEY_SECRET": secret, "ORG_ID": owner, "role": key.role})
    note("Keep the secret now: it is not stored and cannot be shown again.")


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID")], state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Disable a key, at once. The last usable admin key of an organization stays: make another one first."""
    from howdah.control.access import open_access
    from howdah.control.acts import Act

    by = Act(this_user("keys revoke"))
    own_store(directory := state_directory(state))
    with open_access(directory) as access:
        asyncio.run(access.revoke_key(key_id, by))
    if as_json:
        show_json({"keyId": key_id, "state": "disabled"})
        return
    note(f"{key_id} is disabled")


def _row(key: ApiKey) -> list[str]:
    roles, created = ", ".join(key.roles), f"{key.created_at:%Y-%m-%dT%H:%M:%SZ}"
    return [key.key_id, key.name, roles, key.state, f"…{key.suffix}", key.api_version or "", created]


def _fields(key: ApiKey) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "keyId": key.key_id,
        "organizationId": str(key.organization),
        "name": key.name,
        "role": key.role,
        "roles": list(key.roles),
        "state": key.state,
        "keySuffix": key.suffix,
        "apiVersion": key.api_version,
        "createdAt": key.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
