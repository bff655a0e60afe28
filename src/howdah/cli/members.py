"""``howdah services`` on the servers of a service: their number and size, who is the primary, read replicas."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from howdah.cli.api import connect, service_id
from howdah.cli.options import (
    JsonOption,
    ServiceArgument,
    StateOption,
    TagOption,
    TimeoutOption,
    WaitOption,
    YesOption,
)
from howdah.cli.options import tag as as_tag
from howdah.cli.output import note, show_json, show_service, show_table
from howdah.cli.waiting import wait_until_running, wait_until_whole
from howdah.domain.states import HaType

_MEMBERS = ("ID", "ROLE", "STATE", "CAN TAKE OVER", "ACKNOWLEDGES", "REPLAYED", "LAG")
_CHANGES = ("AT", "KIND", "FROM", "TO", "LOST", "DETECTED", "FENCED", "PROMOTED", "FIRST WRITE", "CAUSE")


def update(
    service: ServiceArgument,
    name: Annotated[str | None, typer.Option(help="Gives it another hostname.", show_default=False)] = None,
    size: Annotated[str | None, typer.Option(help="From the catalog; takes a restart.", show_default=False)] = None,
    ha: Annotated[
        HaType | None,
        typer.Option(help="none, async: one standby, sync: two, and commits wait for one.", show_default=False),
    ] = None,
    wait: WaitOption = False,
    timeout: TimeoutOption = 120,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change name, size or high availability of a service while it runs."""
    body = {field: value for field, value in (("name", name), ("size", size), ("haType", ha)) if value is not None}
    if not body:
        raise typer.BadParameter("nothing is to change; give --name, --size or --ha")
    api = connect(state)
    found = service_id(api, service)
    shown = api.call("PATCH", f"/{found}", body)
    if wait:
        shown = wait_until_whole(api, found, seconds=timeout)
    show_service(shown, as_json=as_json)


def members(service: ServiceArgument, state: StateOption = None, as_json: JsonOption = False) -> None:
    """The servers of a service, the primary first, and the changes of its primary, newest first."""
    api = connect(state)
    found: dict[str, Any] = api.own("GET", f"/{service_id(api, service)}/members")
    if as_json:
        show_json(found)
        return
    show_table(_MEMBERS, [_member(one) for one in found["members"]], nothing="no servers yet")
    for one in found["members"]:
        if one["reason"] is not None:
            print(f"{one['id']}: {one['reason']}")
    if found["primaryChanges"]:
        print()
        show_table(_CHANGES, [_change(one) for one in found["primaryChanges"]], nothing="")
    else:
        note("the primary has never changed")


def switchover(service: ServiceArgument, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Have a standby become the primary, without losing anything; done when it returns."""
    api = connect(state)
    shown = api.call("PATCH", f"/{service_id(api, service)}/state", {"command": "switchover"})
    show_service(shown, as_json=as_json)


def failover(
    service: ServiceArgument,
    accept_data_loss: Annotated[
        bool, typer.Option("--accept-data-loss", help="Commits that were acknowledged may be lost. Required.")
    ] = False,
    yes: YesOption = False,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a standby take over though commits may be lost, where the primary is lost and nothing else helps; or go on as
    an older store says that was put back."""
    if not accept_data_loss:
        raise typer.BadParameter(
            "failovers that lose nothing happen by themselves; one that may lose commits needs --accept-data-loss"
        )
    api = connect(state)
    found = service_id(api, service)
    if not yes and sys.stdin.isatty():
        typer.confirm(
            f"Have {service} ({found}) go on, without what its new primary lacks of the lost one?",
            abort=True,
            err=True,
        )
    shown = api.own("POST", f"/{found}/failover", {"acceptDataLoss": True})
    show_service(shown, as_json=as_json)


def replica(
    service: ServiceArgument,
    name: Annotated[str, typer.Option(help="Of the read replica.")],
    tag: TagOption = None,
    wait: WaitOption = False,
    timeout: TimeoutOption = 120,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """A read replica of a service: a service of its own that follows it and can be read."""
    api = connect(state)
    body: dict[str, Any] = {"name": name}
    if tag:
        body["tags"] = [as_tag(one) for one in tag]
    made = api.call("POST", f"/{service_id(api, service)}/readReplica", body)
    if wait:
        made = wait_until_running(api, made["id"], seconds=timeout)
    show_service(made, as_json=as_json)


def promote(
    service: ServiceArgument,
    wait: WaitOption = False,
    timeout: TimeoutOption = 120,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a read replica a service that follows nobody and takes writes; its primary goes on."""
    api = connect(state)
    found = service_id(api, service)
    shown = api.call("PATCH", f"/{found}/state", {"command": "promote"})
    if wait:
        shown = wait_until_running(api, found, seconds=timeout)
    show_service(shown, as_json=as_json)


def _member(found: Mapping[str, Any]) -> tuple[str, ...]:
    stands_by = found["role"] == "standby"
    return (
        *(found["id"], found["role"], found["state"]),
        _yes(found["canTakeOver"]) if stands_by else "-",
        _yes(found["acknowledges"]) if stands_by else "-",
        found["replayedLsn"] or "-",
        _bytes(found["lagBytes"]),
    )


def _change(found: Mapping[str, Any]) -> tuple[str, ...]:
    times = ("detectionMs", "fencingMs", "promotionMs", "firstWriteMs")
    return (
        *(found["at"], found["kind"], found["from"], found["to"], _bytes(found["lostBytes"])),
        *("-" if found[time] is None else f"{found[time]:.0f} ms" for time in times),
        found["cause"],
    )


def _yes(whether: bool) -> str:
    return "yes" if whether else "no"


def _bytes(count: int | None) -> str:
    return "-" if count is None else f"{count} B"
