"""``howdah backups``: through the API of a running server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from howdah.cli.api import connect, service_id
from howdah.cli.options import JsonOption, LongTimeoutOption, NoWaitOption, ServiceArgument, StateOption
from howdah.cli.output import note, show_fields, show_json, show_table
from howdah.cli.waiting import left_to_itself, wait_until_backed_up

app = typer.Typer(help="Backups of Postgres services.", no_args_is_help=True, rich_markup_mode=None)

_COLUMNS = ("KEY", "KIND", "STATUS", "FINISHED", "SIZE", "PARENT")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@app.command("list")
def list_backups(service: ServiceArgument, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Base backups, newest first; what can be restored."""
    api = connect(state)
    archive: dict[str, Any] = api.own("GET", f"/{service_id(api, service)}/backups")
    if as_json:
        show_json(archive)
        return
    rows = [
        (one["key"], one["kind"], one["status"], one["finishedAt"], _size(one["storedBytes"]), one["parent"] or "-")
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


def _size(count: int) -> str:
    power = min(max(count.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{count / (1 << 10 * power):.1f} {_UNITS[power]}"
