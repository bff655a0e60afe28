"""A server on restored data that nobody can reach but us, and that can reach nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from howdah.backup.assemble import recovery_settings
from howdah.backup.errors import BackupError, DamageError
from howdah.backup.programs import Programs
from howdah.domain.errors import Unavailable
from howdah.engines.local.connection import connect
from howdah.launcher.processes import pids_in_directories
from howdah.launcher.rights import becoming, system_user

PORT = 5432
_LARGEST_FILE = 2 << 30
"""Twice the largest that Postgres writes."""

_POLL = 0.1
_FAST_SECONDS, _IMMEDIATE_SECONDS = 300.0, 10.0
_COMPLAINT = re.compile(r"^.*? (?:FATAL|PANIC):  (.*)$", re.MULTILINE)
_FACT = re.compile(r"^([^:\n]+):\s+(\S.*)$", re.MULTILINE)
_STILL_STARTING = ("starting up", "accepting connections", "No such file", "Connection refused", "did not answer")

_AS_LARGE = {
    "max_connections": ("max_connections setting", 20, 10_000),
    "max_worker_processes": ("max_worker_processes setting", 8, 1000),
    "max_wal_senders": ("max_wal_senders setting", 0, 1000),
    "max_prepared_transactions": ("max_prepared_xacts setting", 100, 10_000),
    "max_locks_per_transaction": ("max_locks_per_xact setting", 64, 10_000),
}
"""Settings that may not be smaller than they were where the WAL was written: what pg_controldata calls each, the
smallest value that is good in any case, and the largest that is believed."""

_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    # From the data directory, in which the server works: a whole path may be longer than a socket's can be.
    "unix_socket_directories": "../socket",
    "unix_socket_permissions": "0700",
    "external_pid_file": "",
    "ssl": "off",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "event_triggers": "off",
    "autovacuum": "off",
    "max_logical_replication_workers": "0",
    "max_parallel_workers": "0",
    "sync_replication_slots": "off",
    "synchronous_standby_names": "",
    "primary_conninfo": "",
    "archive_mode": "off",
    "archive_command": "",
    "archive_cleanup_command": "",
    "recovery_end_command": "",
    "hot_standby": "off",
    "summarize_wal": "off",
    "wal_level": "replica",
    "restart_after_crash": "off",
    "dynamic_shared_memory_type": "mmap",
    "huge_pages": "off",
    "shared_buffers": "16MB",
    "jit": "off",
    # Nobody needs it after a crash of the machine.
    "fsync": "off",
    "max_wal_size": "256MB",
    "ignore_checksum_failure": "off",
    "zero_damaged_pages": "off",
    "ignore_invalid_pages": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m ",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "lc_messages": "C",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class Place:
    """``home``: a directory of one drill alone."""

    home: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def socket(self) -> Path:
        return self.home / "socket"

    @property
    def conf(self) -> Path:
        return self.home / "conf"

    @property
    def log(self) -> Path:
        return self.home / "log"

    def remove(self) -> None:
        """Whatever works here ends, and nothing is left. Raises OSError."""
        end = time.monotonic() + _IMMEDIATE_SECONDS
        while left := pids_in_directories([str(self.home)]):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > end:
                raise OSError(errno.EBUSY, f"processes {left} do not end", str(self.home))
            time.sleep(_POLL / 10)  # a bounded poll: they may fork meanwhile, so no one of them can be waited for
        # A tenant's code may have closed directories to their owner.
        for parent, directories, _ in os.walk(self.home):
            for path in (Path(parent, name) for name in directories):
                if not path.is_symlink():
                    path.chmod(0o700)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.home)


@dataclass(frozen=True, slots=True)
class Running:
    """``sockets``: as libpq takes it, short however long the path is."""

    place: Place
    sockets: str
    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def ended(self) -> bool:
        return self.process.returncode is not None

    def complaint(self) -> str:
        """The last that it said when it could not go on; empty when it said nothing."""
        said = self.place.log.read_text(errors="replace")[-20_000:]
        found = _COMPLAINT.findall(said)
        return found[-1][:500] if found else ""

    async def ready(self, seconds: float) -> bool:
        """Whether it lets us in within about ``seconds``. Raises DamageError when it has ended."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            if self.ended:
                raise DamageError(f"recovery failed: {self.complaint() or 'the server ended and said nothing'}")
            try:
                async with connect(self.sockets, PORT, pid=self.pid):
                    return True
            except Unavailable as error:
                if not any(words in str(error) for words in _STILL_STARTING) and not self.ended:
                    raise
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(_POLL)

    async def stop(self) -> None:
        """A fast shutdown, after which its files are as they should be. Raises BackupError when it does not end so."""
        if not await self._ends(signal.SIGINT, _FAST_SECONDS) or self.process.returncode != 0:
            raise BackupError(f"the restored server did not shut down: {self.complaint() or 'it said nothing'}")

    async def end(self) -> None:
        """However; nothing of it runs afterwards."""
        if not self.ended and not await self._ends(signal.SIGQUIT, _IMMEDIATE_SECONDS):
            self.process.kill()
            await self.process.wait()

    async def _ends(self, number: signal.Signals, seconds: float) -> bool:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        try:
            async with asyncio.timeout(seconds):
                await self.process.wait()
        except TimeoutError:
            return False
        return True


def run_as() -> list[str]:
    """What makes a program run as somebody who is not root. Raises BackupError without such a user."""
    if os.geteuid() != 0:
        return []
    if (user := system_user()) is None:
        raise BackupError("a restored server cannot run as root, and there is no user howdah")
    return becoming(user.pw_uid, user.pw_gid)


def prepare(place: Place, programs: Programs) -> dict[str, str]:
    """Make ready what was assembled; the settings that its server is started with. Raises BackupError, OSError."""
    conf, auto = place.conf, place.data / "postgresql.auto.conf"
    for directory in (conf, place.socket):
        directory.mkdir(mode=0o700)
    (conf / "postgresql.conf").touch()
    (conf / "pg_ident.conf").touch()
    # The directory is closed to all others.
    (conf / "pg_hba.conf").write_text("local all postgres trust\n")
    auto.unlink(missing_ok=True)
    auto.touch()
    place.log.touch()
    if os.geteuid() == 0 and (user := system_user()) is not None:
        subprocess.run(["chown", "-hR", f"{user.pw_uid}:{user.pw_gid}", str(place.home)], check=True)
    files = {
        "config_file": conf / "postgresql.conf",
        "hba_file": conf / "pg_hba.conf",
        "ident_file": conf / "pg_ident.conf",
    }
    facts = control_data(place, programs)
    sizes = {name: str(_bounded(facts.get(called, ""), *limits)) for name, (called, *limits) in _AS_LARGE.items()}
    version = {"io_method": "sync"} if int((place.data / "PG_VERSION").read_text()) >= 18 else {}
    named = {name: str(path) for name, path in files.items()}
    return _SETTINGS | version | sizes | named | recovery_settings(None, place.data)


def control_data(place: Place, programs: Programs) -> dict[str, str]:
    """What pg_controldata says. Raises BackupError."""
    command = programs.command("pg_controldata", place.data, read=[place.data])
    ran = subprocess.run(command, env=dict(programs.environment), capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise BackupError(f"pg_controldata failed: {ran.stderr.strip()[-300:]}")
    return dict(_FACT.findall(ran.stdout))


def _bounded(text: str, least: int, most: int) -> int:
    return min(max(int(text) if text.isdigit() else 0, least), most)


@asynccontextmanager
async def started(place: Place, programs: Programs, settings: dict[str, str]) -> AsyncGenerator[Running]:
    """It ends with the block, and with the thread of the loop. Raises OSError."""
    command = programs.command(
        *("postgres", "-D", place.data, *_arguments(settings)),
        write=[place.home],
        largest=_LARGEST_FILE,
        alone=True,
        becoming=run_as(),
    )
    handle = os.open(place.socket, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with place.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *("nice", "-n", "10", *command),
                env={"PATH": "/usr/bin:/bin", **programs.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=place.home,
                start_new_session=True,
            )
        running = Running(place, f"/proc/self/fd/{handle}", process)
        try:
            yield running
        finally:
            await asyncio.shield(running.end())
    finally:
        os.close(handle)


def _arguments(settings: dict[str, str]) -> Sequence[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
