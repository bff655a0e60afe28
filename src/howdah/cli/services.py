"""``howdah services``: through the API of a running server."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from howdah.cli.api import connect, deleted_id, service_id
from howdah.cli.options import (
    JsonOption,
    LongTimeoutOption,
    NoWaitOption,
    ServiceArgument,
    StateOption,
    TagOption,
    TimeoutOption,
    WaitOption,
    YesOption,
)
from howdah.cli.options import tag as as_tag
from howdah.cli.output import note, show_fields, show_json, show_service, show_table
from howdah.cli.waiting import (
    left_to_itself,
    wait_until_gone,
    wait_until_restored,
    wait_until_running,
    wait_until_whole,
)
from howdah.domain.states import HaType

app = typer.Typer(help="Postgres services.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_services(
    tag: Annotated[str | None, typer.Option(help="KEY or KEY:VALUE.", show_default=False)] = None,
    state_is: Annotated[str | None, typer.Option("--in-state", help="For example running.", show_default=False)] = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """All services, oldest first."""
    query = {name: value for name, value in (("tag", tag), ("state", state_is)) if value}
    found: list[dict[str, Any]] = connect(state).call("GET", "", query=query)
    if as_json:
        show_json(found)
        return
    rows = [(s["id"], s["name"], s["state"], s["postgresVersion"], s["size"], s.get("region", "")) for s in found]
    show_table(("ID", "NAME", "STATE", "POSTGRES", "SIZE", "REGION"), rows, nothing="no services")


@app.command("get")
def get(service: ServiceArgument, state: StateOption = None, as_json: JsonOption = False) -> None:
    """One service, with its connection string."""
    api = connect(state)
    found = api.call("GET", f"/{service_id(api, service)}")
    if found["state"] != "running" and (reason := api.reason(found["id"])):
        note(f"{found['id']} is {found['state']}: {reason}")
    show_service(found, as_json=as_json)


@app.command("health")
def health(service: ServiceArgument, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Whether a service and its backups are as they should be. Exit status 1 when something is critical."""
    api = connect(state)
    found: dict[str, Any] = api.own("GET", f"/{service_id(api, service)}/health")
    if as_json:
        show_json(found)
    else:
        show_fields({"status": found["status"], "state": found["state"], **(found["backups"] or {})})
        for reason in found["reasons"]:
            note(reason)
    if found["status"] == "critical":
        raise typer.Exit(1)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="1 to 50 letters, digits, spaces, hyphens, underscores, dots.")],
    provider: Annotated[str, typer.Option(help="From the catalog.")] = "aws",
    region: Annotated[str, typer.Option(help="From the catalog.")] = "us-west-2",
    size: Annotated[str, typer.Option(help="From the catalog.")] = "r8gd.large",
    postgres_version: Annotated[
        str | None, typer.Option(help="17 or 18. Default: the server's, 17.", show_default=False)
    ] = None,
    ha: Annotated[HaType, typer.Option(help="async: one standby; sync: two, and commits wait for one.")] = HaType.NONE,
    tag: TagOption = None,
    wait: WaitOption = False,
    timeout: TimeoutOption = 120,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """A new service. Its hostname can be connected to at once; it answers when Postgres is up."""
    api = connect(state)
    body: dict[str, Any] = {"name": name, "provider": provider, "region": region, "size": size}
    if postgres_version is not None:
        body["postgresVersion"] = postgres_version
    if ha is not HaType.NONE:
        body["haType"] = ha
    if tag:
        body["tags"] = [as_tag(one) for one in tag]
    made = api.call("POST", "", body)
    if wait:
        made = wait_until_whole(api, made["id"], seconds=timeout)
    show_service(made, as_json=as_json)


@app.command("delete")
def delete(
    service: ServiceArgument,
    yes: YesOption = False,
    wait: WaitOption = False,
    timeout: TimeoutOption = 120,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a service with all of its data and its backups, unless the server keeps those for a while."""
    api = connect(state)
    found = service_id(api, service)
    if not yes and sys.stdin.isatty():
        typer.confirm(
            f"Delete {service} ({found}) with all of its data (and its backups, unless they are kept for a while)?",
            abort=True,
            err=True,
        )
    api.call("DELETE", f"/{found}")
    if wait:
        wait_until_gone(api, found, seconds=timeout)
    if as_json:
        show_json({"id": found, "deleted": wait})
        return
    note(f"{found} is deleted" if wait else f"{found} is being deleted")


@app.command("restart")
def restart(
    service: ServiceArgument,
    wait: WaitOption = False,
    timeout: TimeoutOption = 120,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restart the Postgres of a service; new connections wait for it."""
    api = connect(state)
    found = service_id(api, service)
    shown = api.call("PATCH", f"/{found}/state", {"command": "restart"})
    if wait:
        shown = wait_until_running(api, found, seconds=timeout)
    show_service(shown, as_json=as_json)


@app.command("restore")
def restore(
    service: ServiceArgument,
    name: Annotated[str, typer.Option(help="Of the new service.")],
    target: Annotated[
        str, typer.Option(metavar="MOMENT", help="RFC 3339 with a zone, to the microsecond, or latest.")
    ] = "latest",
    tag: TagOption = None,
    deleted: Annotated[
        bool, typer.Option("--deleted", help="SERVICE was deleted and its backups are kept: howdah backups deleted.")
    ] = False,
    wait: NoWaitOption = True,
    timeout: LongTimeoutOption = 3600,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """A new service with what SERVICE held at a moment, and with its password. SERVICE goes on as it is.

    One that was made from a deleted service has a new password.
    """
    api = connect(state)
    body: dict[str, Any] = {"name": name, "restoreTarget": target}
    if tag:
        body["tags"] = [as_tag(one) for one in tag]
    if deleted:
        made = api.deleted("POST", f"/{deleted_id(api, service)}/restoredService", body)
    else:
        made = api.call("POST", f"/{service_id(api, service)}/restoredService", body)
    if wait:
        with left_to_itself(
            f"{made['id']} goes on being restored; howdah services get {made['id']} shows how far it is"
        ):
            made = wait_until_restored(api, made["id"], seconds=timeout)
    show_service(made, as_json=as_json)
