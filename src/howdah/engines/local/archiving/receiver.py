"""``pg_receivewal``, one for each archived server: a process of its own session, which outlives the control plane."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from howdah.backup.programs import Programs
from howdah.backup.wal import SEGMENT_BYTES
from howdah.engines.local.archiving.spool import Spool
from howdah.engines.local.binaries import Binaries
from howdah.launcher.processes import ProcessFacts, all_pids, has_ended, inspect_process, started_at
from howdah.launcher.servers import Started

SLOT = "howdah_archive"
NAME = "howdah_archive"
"""Its replication slot, and its name in ``pg_stat_replication``."""

LARGEST_FILE = 4 * SEGMENT_BYTES
"""More than a segment, and no disk full of complaints: what it is sent is a tenant's."""

CLIENT = {
    "PGSSLMODE": "disable",
    "PGGSSENCMODE": "disable",
    "PGPASSFILE": "/dev/null/none",
    "PGCONNECT_TIMEOUT": "10",
    # A tenant can set these for all sessions of its server.
    "PGOPTIONS": " ".join(
        f"-c {name}={value}"
        for name, value in {
            "wal_sender_timeout": "60s",
            "statement_timeout": "0",
            "idle_session_timeout": "0",
            "post_auth_delay": "0",
            "log_replication_commands": "off",
            # Whatever else a receiver says is taken for a complaint, and some of it is looked for in English.
            "client_min_messages": "error",
            "lc_messages": "C",
        }.items()
    ),
}
"""The environment of libpq in programs of ours that replicate."""

_PROGRAM = "pg_receivewal"
_PORT, _SLOT = "--port=", "--slot="


@dataclass(slots=True)
class Receiver:
    """A running one. ``handle``: its pidfd. ``port``: of the server that it receives from; ``slotted``: by its slot."""

    process: Started
    handle: int
    port: int
    slotted: bool

    @property
    def ended(self) -> bool:
        return has_ended(self.handle)

    def signal(self, number: int) -> None:
        """One that is gone is fine."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, number)

    def close(self) -> None:
        """Stop watching it. One that has not ended goes on."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.process.pid, os.WNOHANG)
        os.close(self.handle)


def start_receiver(binaries: Binaries, spool: Spool, sockets: Path, port: int, *, slot: str | None) -> Receiver:
    """It goes on from the newest file in the spool, else from where its slot begins, or without one from where the
    server is now. Raises OSError."""
    spool.make()
    environment = binaries.environment | CLIENT | {"PGAPPNAME": NAME}
    command = Programs(binaries.root / "bin", environment).command(
        *(_PROGRAM, f"--directory={spool.wal}", *([] if slot is None else [f"{_SLOT}{slot}"]), "--status-interval=1"),
        *(f"--host={sockets}", f"{_PORT}{port}", "--username=postgres", "--no-password"),
        write=[spool.wal],
        largest=LARGEST_FILE,
        outlives=True,
    )
    output = os.open(spool.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd="/",
            start_new_session=True,
            umask=0o077,
        )
    finally:
        os.close(output)
    child.returncode = 0  # Nobody waits for this object; ``close`` reaps the process.
    return Receiver(Started(child.pid, started_at(child.pid)), os.pidfd_open(child.pid), port, slot is not None)


def find_receivers(spools: Path) -> dict[Path, Receiver]:
    """Those that run for spools below this directory, by the spool's home."""
    found: dict[Path, Receiver] = {}
    for pid in all_pids():
        facts = inspect_process(pid)
        if facts is None or facts.uid != os.geteuid():
            continue
        for argument in facts.arguments:
            place = Path(argument.removeprefix("--directory="))
            if argument.startswith("--directory=") and place.parent.parent == spools:
                try:
                    found[place.parent] = _found(pid, facts)
                except ProcessLookupError:
                    continue
    return found


def _found(pid: int, facts: ProcessFacts) -> Receiver:
    """Raises ProcessLookupError when it has ended."""
    ports = [one.removeprefix(_PORT) for one in facts.arguments if one.startswith(_PORT)]
    slotted = any(one.startswith(_SLOT) for one in facts.arguments)
    return Receiver(Started(pid, facts.started), os.pidfd_open(pid), int(ports[0]) if ports else 0, slotted)


def end_receivers(spools: Path) -> None:
    """Those of a state directory whose services are not archived any more."""
    for receiver in find_receivers(spools).values():
        receiver.signal(signal.SIGKILL)
        receiver.close()
