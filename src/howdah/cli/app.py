"""All commands together."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from howdah.cli import backups, doctor, env, keys, members, organizations, restore, serve, services, stop, version
from howdah.cli.output import fail
from howdah.cli.system import app as system
from howdah.domain.errors import HowdahError

app = typer.Typer(
    name="howdah",
    help="Managed Postgres on machines you own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("serve")(serve.serve)
app.command("stop")(stop.stop)
app.command("env")(env.env)
app.command("doctor")(doctor.doctor)
app.command("restore")(restore.restore)
app.command("version")(version.version)
services.app.command("update")(members.update)
services.app.command("members")(members.members)
services.app.command("switchover")(members.switchover)
services.app.command("failover")(members.failover)
services.app.command("replica")(members.replica)
services.app.command("promote")(members.promote)
app.add_typer(services.app, name="services")
app.add_typer(backups.app, name="backups")
app.add_typer(organizations.app, name="organizations")
app.add_typer(organizations.app, name="orgs", hidden=True)
app.add_typer(keys.app, name="keys")
app.add_typer(system.app, name="system")


def _say_version(asked: bool) -> None:
    if asked:
        version.version()
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", help="The same as the command version.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """Managed Postgres on machines you own."""


def run() -> None:
    try:
        app(prog_name="howdah")
    except HowdahError as error:
        fail(error.sentence, as_json="--json" in sys.argv)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away; Python would complain while flushing
        raise SystemExit(1) from None
