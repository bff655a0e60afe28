"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="State directory. Default: HOWDAH_STATE, else ~/.local/state/howdah, as root /var/lib/howdah.",
        show_default=False,
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration (TOML), see docs/configuration.md. Default: HOWDAH_CONFIG.",
        show_default=False,
    ),
]
TagOption = Annotated[
    list[str] | None, typer.Option("--tag", help="KEY or KEY=VALUE; may be repeated.", show_default=False)
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, also on a terminal.")]
ServiceArgument = Annotated[str, typer.Argument(metavar="SERVICE", help="Its id, or its name where that is unique.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait until it is done; progress on stderr.")]
TimeoutOption = Annotated[float, typer.Option(help="Seconds that --wait waits at most.", min=0)]
NoWaitOption = Annotated[
    bool,
    typer.Option(
        "--wait/--no-wait", help="Wait until it is done; progress on stderr. Ctrl-C ends the waiting, not the work."
    ),
]
LongTimeoutOption = Annotated[float, typer.Option(help="Seconds to wait at most; the work goes on after them.", min=0)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def tag(text: str) -> dict[str, str]:
    """What ``--tag`` means, as the API takes it."""
    key, separator, value = text.partition("=")
    return {"key": key, "value": value} if separator else {"key": key}
