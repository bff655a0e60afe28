"""``howdah stop``: everything of a state directory, not the control plane alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from howdah.cli.options import JsonOption, StateOption
from howdah.cli.output import note, show_json
from howdah.cli.state import program, state_directory
from howdah.domain.errors import SetupError, Unavailable

CONTROL_PLANE_SECONDS = 30.0
FAST_SECONDS = 60.0
IMMEDIATE_SECONDS = 10.0


def stop(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Stop everything of a state directory: control plane, router, every Postgres. No data is lost.

    The next howdah serve starts all services again.
    """
    from howdah.cli.processes import routers

    directory = state_directory(state)
    if not directory.is_dir() and not routers(directory):
        raise SetupError(f"there is no state directory {directory}; --state names another")
    control_plane = _end_control_plane(directory)
    servers = _end_servers(directory)
    _end_receivers(directory)
    router = _end_router(directory)
    _lift_rules(directory)
    if as_json:
        show_json({"controlPlane": control_plane, "servers": servers, "router": router})
        return
    parts = [f"{servers} {'server' if servers == 1 else 'servers'}"] if servers else []
    parts += ["the router"] * router + ["the control plane"] * control_plane
    note(f"stopped: {', '.join(parts)}" if parts else f"nothing was running in {directory}")


def _end_control_plane(state: Path) -> bool:
    from howdah.cli.processes import control_plane, end

    pid = control_plane(state)
    if pid is None:
        return False
    if end([pid], signal.SIGTERM, within=CONTROL_PLANE_SECONDS):
        raise Unavailable(
            f"the control plane (pid {pid}) did not end within {CONTROL_PLANE_SECONDS:g} s; nothing else was stopped."
            f" End it (kill -9 {pid} is safe), then: {program()} stop"
        )
    return True


def _end_servers(state: Path) -> int:
    """Fast shutdown: sessions are ended, everything committed is on the disk. Then an immediate one, which recovers."""
    from howdah.cli.processes import end, servers

    running = servers(state)
    if running:
        note(f"stopping {len(running)} {'server' if len(running) == 1 else 'servers'}")
    left = end([server.pid for server in running], signal.SIGINT, within=FAST_SECONDS)
    if left:
        note(f"{len(left)} did not end within {FAST_SECONDS:g} s; ended at once, they recover at their next start")
        left = end(left, signal.SIGQUIT, within=IMMEDIATE_SECONDS)
    if left:
        raise Unavailable(f"these servers do not end: pid {', '.join(map(str, left))}; kill -9 ends them")
    return len(running)


def _end_receivers(state: Path) -> None:
    """After the servers, which send them all they have before they end."""
    from howdah.cli.processes import end, receivers

    if left := end(receivers(state), signal.SIGINT, within=IMMEDIATE_SECONDS):
        end(left, signal.SIGKILL, within=IMMEDIATE_SECONDS)


def _lift_rules(state: Path) -> None:
    """Of the servers that have ended, and of all that their tenants left running: their OS users may be somebody else's
    tomorrow."""
    from howdah.cli.settings import settings_for
    from howdah.engines.local.allocation import number_range
    from howdah.launcher.confinement import Confinement
    from howdah.launcher.rights import Rights
    from howdah.launcher.servers import kill_all_of_user

    services = state / "services"
    if os.geteuid() != 0 or not services.is_dir() or services.stat().st_uid != 0:
        return  # An ordinary user's: its servers have no OS users of their own.
    uids = number_range(settings_for(state, None).postgres.uids, "postgres.uids")
    for uid in {data.lstat().st_uid for data in services.glob("*/*/data")} & set(uids):
        if not kill_all_of_user(uid):
            raise Unavailable(f"programs of a service's OS user (uid {uid}) do not end; its rules stay")
    Confinement(state, Rights.in_process(range(0))).forget()


def _end_router(state: Path) -> bool:
    from howdah.cli.processes import end, routers

    running = routers(state)
    if left := end(running, signal.SIGTERM, within=IMMEDIATE_SECONDS):
        end(left, signal.SIGKILL, within=IMMEDIATE_SECONDS)
    return bool(running)
