"""Postgres' programs, run as the user who reaches the servers of Howdah over their Unix sockets."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = os.geteuid() == 0
USER = "howdah" if ROOT else pwd.getpwuid(os.geteuid()).pw_name
"""As root the control plane's user: so everybody copies as the same one and by the same way."""

LONGEST = 900.0
"""Seconds that one program may take."""


@dataclass(frozen=True)
class Machine:
    """``top``: a directory for everybody's data. ``postgres``: a directory with Postgres' bin and lib."""

    top: Path
    postgres: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_LIBRARY_PATH": str(self.postgres / "lib"),
            "PATH": f"{self.postgres / 'bin'}:/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.top),
            "PGSSLMODE": "disable",
        }

    def program(self, name: str, *arguments: object) -> list[str]:
        """A command that runs one of Postgres' programs."""
        return self.dropped(str(self.postgres / "bin" / name), *map(str, arguments))

    def dropped(self, *command: str) -> list[str]:
        """Without root's rights, which Postgres and barman refuse to have."""
        return [*(("setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups") if ROOT else ()), *command]

    def run(self, command: Sequence[str]) -> str:
        """What it says on its standard output."""
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.top,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def spawn(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """In a session of its own, as servers and receivers are."""
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                env=self.environment,
                cwd=self.top,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def directory(self, name: str) -> Path:
        """Empty, and the user's."""
        place = self.top / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700)
        if ROOT:
            user = pwd.getpwnam(USER)
            os.chown(place, user.pw_uid, user.pw_gid)
        return place


def end(process: subprocess.Popen[bytes], how: int = signal.SIGINT) -> None:
    """With all of its session."""
    if process.poll() is None:
        os.killpg(process.pid, how)
    process.wait(timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def quiet() -> None:
    """What the contestant before has left to be written is not the next one's to wait for."""
    os.sync()
    time.sleep(0.5)
