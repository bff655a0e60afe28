"""The commands below ``howdah system``."""

from __future__ import annotations

import typer

from howdah.cli.system import copies, keys, router, service

app = typer.Typer(help="For operators: backup, keys, services.", no_args_is_help=True, rich_markup_mode=None)
app.command("install")(service.install)
app.command("uninstall")(service.uninstall)
app.command("status")(service.status)
app.command("backup")(copies.backup)
app.command("restore")(copies.restore)
app.command("rotate-key")(keys.rotate_key)
app.command("prepare", hidden=True)(router.prepare)
app.command("router", hidden=True)(router.router)
