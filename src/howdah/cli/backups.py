"""``howdah backups``: through the API of a running server."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from howdah.cli.api import connect, deleted_id, service_id
from howdah.cli.options import JsonOption, LongTimeoutOption, NoWaitOption, ServiceArgument, StateOption
from howdah.cli.output import note, show_fields, show_json, show_table, size
from howdah.cli.waiting import left_to_itself, wait_until_backed_up, wait_until_drilled

app = typer.Typer(help="Backups of Postgres services.", no_args_is_help=True, rich_markup_mode=None)

_COLUMNS = ("KEY", "KIND", "STATUS", "FINISHED", "SIZE", "PARENT")
_DRILLS = ("STARTED", "RESULT", "SECONDS", "SIZE", "CHECKED", "COMPARED", "RESTORED UNTIL")
_DELETED = ("ID", "NAME", "POSTGRES", "SIZE", "DELETED", "KEPT UNTIL", "STORED", "RESTORABLE SINCE")


@app.command("list")
def list_backups(service: ServiceArgument, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Base backups, newest first; what can be restored."""
    api = connect(state)
    archive: dict[str, Any] = api.own("GET", f"/{service_id(api, service)}/backups")
    if as_json:
        show_json(archive)
        return
    rows = [
        (one["key"], one["kind"], one["status"], one["finishedAt"], size(one["storedBytes"]), one["parent"] or "-")
        for one in archive["backups"]
    ]
    show_table(_COLUMNS, rows, nothing="no backups")
    print("; ".join(_facts(archive)))


@app.command("create")
def create(
    service: ServiceArgument,
    wait: NoWaitOption = True,
    timeout: LongTimeoutOption = 3600,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a base backup taken now."""
    api = connect(state)
    found = service_id(api, service)
    asked: dict[str, int] = api.own("POST", f"/{found}/backups")
    wanted = f"the backup stays wanted; howdah backups list {found} shows it when it is there"
    if wait:
        with left_to_itself(f"{found}: {wanted}"):
            taken = wait_until_backed_up(api, found, asked["request"], seconds=timeout)
        (show_json if as_json else show_fields)(taken)
    elif as_json:
        show_json(asked)
    else:
        note(f"{found}: {wanted}")


@app.command("verify")
def verify(
    service: ServiceArgument,
    wait: NoWaitOption = True,
    timeout: LongTimeoutOption = 3600,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Drill now: restore the latest backup where nobody uses it, and check it. Status 1 when it has problems."""
    api = connect(state)
    found = service_id(api, service)
    begun: dict[str, str] = api.own("POST", f"/{found}/drills")
    goes_on = f"the drill goes on; howdah backups drills {found} shows what it finds"
    if not wait:
        if as_json:
            show_json(begun)
        else:
            note(f"{found}: {goes_on}")
        return
    with left_to_itself(f"{found}: {goes_on}"):
        drill = wait_until_drilled(api, found, begun["startedAt"], seconds=timeout)
    if as_json:
        show_json(drill)
    else:
        show_table(_DRILLS, [_drill(drill)], nothing="")
        for said in _said(drill):
            print(said)
    if not drill["ok"]:
        raise SystemExit(1)


@app.command("drills")
def list_drills(service: ServiceArgument, state: StateOption = None, as_json: JsonOption = False) -> None:
    """What drills have found, newest first."""
    api = connect(state)
    found: dict[str, Any] = api.own("GET", f"/{service_id(api, service)}/drills")
    if as_json:
        show_json(found)
        return
    show_table(_DRILLS, [_drill(one) for one in found["drills"]], nothing="no drills")
    for one in found["drills"]:
        for said in _said(one, f" of {one['startedAt']}"):
            print(said)
    if (under_way := found["underWay"]) is not None:
        problem = "" if under_way["problem"] is None else f"; problem: {under_way['problem']}"
        print(f"under way since {under_way['startedAt']}: {under_way['doing']} ({under_way['percent']}%){problem}")
    elif found["nextAt"] is not None:
        print(f"next one {found['nextAt']}")


@app.command("deleted")
def list_deleted(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Deleted services whose backups are kept, those that were deleted first first."""
    found: list[dict[str, Any]] = connect(state).deleted("GET", "")
    if as_json:
        show_json(found)
        return
    what = ("id", "name", "postgresVersion", "size", "deletedAt", "keepUntil")
    rows = [(*(one[field] for field in what), *_kept(one)) for one in found]
    show_table(_DELETED, rows, nothing="no deleted services are kept")
    for one in found:
        if one["earliestRestoreTime"] is None:
            print(f"problem of {one['id']}: the archive lacks its last WAL; until it is there nothing can be restored")
        if one["problem"] is not None:
            print(f"problem of {one['id']}: {one['problem']}")


def _kept(one: dict[str, Any]) -> tuple[str, str]:
    stored = one["storedBytes"]
    return "-" if stored is None else size(stored), one["earliestRestoreTime"] or "-"


@app.command("purge")
def purge(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="One of howdah backups deleted: its id or name.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, also on a terminal.")] = False,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete the backups of a deleted service now and for good."""
    api = connect(state)
    found = deleted_id(api, service)
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Delete the backups of {service} ({found}), the last that is left of it?", abort=True, err=True)
    api.deleted("DELETE", f"/{found}")
    if as_json:
        show_json({"id": found, "purged": True})
        return
    note(f"the backups of {found} are being deleted")


def _drill(one: Mapping[str, Any]) -> Sequence[object]:
    seconds = datetime.fromisoformat(one["finishedAt"]) - datetime.fromisoformat(one["startedAt"])
    return (
        *(one["startedAt"], "ok" if one["ok"] else "FAILED", f"{seconds.total_seconds():.1f}", size(one["dataBytes"])),
        *(one["relationsChecked"], len(one["tablesCompared"]), one["restoredUntil"] or "-"),
    )


def _said(drill: Mapping[str, Any], which: str = "") -> Iterator[str]:
    """What stands below the table of it. ``which``: of several."""
    for problem in drill["problems"]:
        yield f"problem{which}: {problem}"
    if drill["notCompared"] is not None:
        yield f"no rows compared{which}: {drill['notCompared']}"


def _facts(archive: Mapping[str, Any]) -> Iterator[str]:
    earliest = archive["earliestRestoreTime"]
    if earliest is None:
        yield "nothing can be restored yet"
    else:
        yield f"earliest restore time {earliest}"
        yield f"latest WAL {archive['latestWalTime']}"
    for gap in archive["gaps"]:
        until = "a base backup closes it" if gap["until"] is None else gap["until"]
        yield f"gap from {gap['since']} until {until} ({gap['reason']})"
    if not archive["gaps"]:
        yield "no gaps"
    if archive["backupUnderWaySince"] is not None:
        yield f"a base backup under way since {archive['backupUnderWaySince']}"
    if archive["problem"] is not None:
        yield f"problem: {archive['problem']}"
