"""What a reboot leaves of a server: its files, and not a single process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path

from faults.killing import RUN, launchers
from fixtures.server import Server, alive, eventually

from howdah.cli.processes import routers
from howdah.launcher.processes import pids_in_directories


def processes_of(state: Path) -> set[int]:
    """All that runs for a state directory, but this test."""
    homes = [str(data) for data in state.glob("services/*/*/data")]
    postgres = set(pids_in_directories(homes))
    return postgres | set(routers(state)) | set(launchers(state))


def reboot(server: Server) -> None:
    """All processes at once, then what lies in memory; pid files stay, and their numbers are other processes' now."""
    server.kill()
    ended = processes_of(server.state)
    for pid in ended:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually("everything has ended", lambda: not any(alive(pid) for pid in ended))
    for link in RUN.glob("*.home"):
        if os.readlink(link).startswith(f"{server.state}/"):
            shutil.rmtree(link.with_suffix(""), ignore_errors=True)
            link.unlink()
    for pidfile in server.state.glob("services/*/*/data/postmaster.pid"):
        lines = pidfile.read_text().splitlines()
        with pidfile.open("r+") as opened:
            opened.write("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
            opened.truncate()
