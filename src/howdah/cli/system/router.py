"""What the router's unit runs."""

from __future__ import annotations

import os
import select

from howdah.cli.options import ConfigOption, StateOption
from howdah.cli.output import note
from howdah.cli.settings import settings_for
from howdah.domain.errors import SetupError


def prepare(state: StateOption = None, config: ConfigOption = None) -> None:
    """Make the state directory, so that the router can start before the control plane. As root."""
    from howdah.engines.local.allocation import number_range
    from howdah.launcher.layout import layout
    from howdah.launcher.rights import Rights
    from howdah.launcher.split import prepare as prepare_directories
    from howdah.launcher.split import require_system_user

    settings = settings_for(state, config)
    user = require_system_user()
    rights = Rights(True, user.pw_uid, user.pw_gid, number_range(settings.postgres.uids, "postgres.uids"))
    try:
        prepare_directories(layout(settings, privileged=True), rights)
    except OSError as error:
        raise SetupError(f"{settings.state} cannot be prepared: {error}") from None


def router(state: StateOption = None, config: ConfigOption = None) -> None:
    """Become the router of the state directory, as soon as no other is."""
    from howdah.cli.processes import routers
    from howdah.control.router_process import RouterProcess

    settings = settings_for(state, config)
    process = RouterProcess(settings.state, settings.router, lambda _port: None)
    while others := routers(settings.state):
        note(f"another router runs already (pid {others[0]}); taking its place when it ends")
        _wait_for(others[0])
    command = process.command()
    os.execv(command[0], command)


def _wait_for(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([handle], [], [])
    os.close(handle)
