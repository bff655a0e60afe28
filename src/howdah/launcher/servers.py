"""Servers: started with the rights of their instance, signalled, killed to the last process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from howdah.domain.instances import Instance
from howdah.launcher.commands import ENVIRONMENT, run
from howdah.launcher.confinement import Confinement
from howdah.launcher.files import is_plain_directory
from howdah.launcher.homes import make_home, open_data
from howdah.launcher.layout import InstancePaths, Layout
from howdah.launcher.look import LOGS, PID_FILE
from howdah.launcher.processes import has_ended, pids_in_directories, pids_of_user, started_at, uid_of
from howdah.launcher.removal import discard
from howdah.launcher.rights import Rights, becoming

_SETTING = re.compile(r"--[A-Za-z_][A-Za-z0-9_.]*=[^\0]*")
_VERSION = re.compile(r"[0-9.]+")
STANDBY = "standby.signal"
_SIGNAL_FILES = (STANDBY, "recovery.signal")
_KILLER = """import os, sys
uid, nobodys = map(int, sys.argv[1:])
os.setgroups([])
os.setresgid(nobodys, nobodys, nobodys)
os.setresuid(nobodys, uid, nobodys)
try: os.kill(-1, 9)
except ProcessLookupError: pass
"""
"""Signals with the effective uid of those that it kills, and cannot be killed by them: that is decided by its real and
saved uid, which are nobody's. Where such a uid cannot be had, in some user namespaces, whoever is quicker wins."""
_NOBODYS = 1 << 30
_SIGNALS = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGCONT, signal.SIGTERM, signal.SIGKILL})


@dataclass(frozen=True, slots=True)
class Started:
    """A process: its pid, and when it began in clock ticks since boot, which together name it for ever."""

    pid: int
    started: int


class Servers:
    """The servers of one layout. Its children are remembered until their exit status has been asked for."""

    def __init__(self, layout: Layout, rights: Rights, confinement: Confinement) -> None:
        self._layout = layout
        self._rights = rights
        self._confinement = confinement
        self._children: set[int] = set()

    def start(
        self,
        instance: Instance,
        version: str,
        settings: Sequence[str],
        *,
        environment: Mapping[str, str],
        confined: Sequence[str],
        recovering: bool = False,
        standby: bytes | None = None,
    ) -> Started:
        """Start a server in a session of its own; it outlives us.

        ``version``: a directory of the binaries, such as 18.6.0; ``settings``: ``--name=value`` each; ``confined``:
        what begins the command, to confine it; ``recovering``: it goes on with a recovery from an archive, if that is
        not done yet; ``standby``: see verbs.py. Raises OSError; ProcessLookupError when it ended at once.
        """
        if not _VERSION.fullmatch(version) or not all(_SETTING.fullmatch(setting) for setting in settings):
            raise ValueError("a version of Postgres, and settings, are all that a server is started with")
        paths, root = self._layout.of(instance), self._layout.binaries / version
        if paths.startup_log.exists():
            self._clear_leftovers(instance, paths)
        make_home(self._layout, self._rights, instance)
        open_data(paths)
        self._clear_log(instance, paths)
        # The role comes from what is wanted, never from what lies in a directory that the tenant can write.
        for name in _SIGNAL_FILES[:1] if recovering else _SIGNAL_FILES:
            self._remove_entry(instance, paths.data, name)
        paths.replication_password.unlink(missing_ok=True)
        if standby is not None:
            self._make_entry(instance, paths.data, STANDBY)
            _write_password(paths.replication_password, instance, standby)
        program = [str(root / "bin" / "postgres"), "-D", str(paths.data), *settings]
        everything = {"LD_LIBRARY_PATH": str(root / "lib"), "PATH": f"{root / 'bin'}:/usr/bin:/bin", **environment}
        # Given once it is the instance's user: what begins the command is root still, and the libraries are not root's.
        given = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in everything.items())]
        output = _new_output(paths.startup_log, instance)
        try:
            child = subprocess.Popen(
                [*confined, *self._rights.becoming(instance.uid), *given, *program],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                umask=0o077,
            )
        finally:
            os.close(output)
        child.returncode = 0  # Nobody waits for this object; ``exit_status`` reaps the process.
        self._children.add(child.pid)
        return Started(child.pid, started_at(child.pid))

    def forget_recovery(self, instance: Instance) -> None:
        """Delete the WAL that its first start has replayed."""
        paths = self._layout.of(instance)
        if is_plain_directory(paths.archived_wal):
            discard(self._rights, paths.archived_wal, instance.uid)

    def exit_status(self, pid: int) -> int | None:
        """How a child of ours ended (negative: the signal that killed it), once; None when that is not known."""
        if pid not in self._children:
            return None
        try:
            found, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # Another call was quicker.
            return None
        if found == 0:
            return None
        self._children.discard(pid)
        return os.waitstatus_to_exitcode(status)

    def signal(self, instance: Instance, process: Started, number: int) -> None:
        """Signal a process of the instance; one that is gone is fine."""
        if number not in _SIGNALS:
            raise ValueError(f"signal {number} is not sent to servers")
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            handle = os.pidfd_open(process.pid)
            try:
                if uid_of(process.pid) != self._rights.owner(instance.uid):
                    raise ValueError(f"process {process.pid} is not one of the instance's")
                if started_at(process.pid) == process.started and not has_ended(handle):
                    signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)

    def kill_all(self, instance: Instance, *, limit: float = 5.0) -> bool:
        """Kill every process of an instance until none is left; False when some still are after ``limit`` seconds."""
        self._confinement.kill(instance)
        if instance.uid is not None:
            return kill_all_of_user(instance.uid, limit=limit)
        end = time.monotonic() + limit
        directories = [self._layout.of(instance).home, self._layout.trash(instance.service, instance.id)]
        while left := pids_in_directories(map(str, directories)):
            if time.monotonic() > end:
                return False
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)  # a bounded poll: more of them may be forked meanwhile
        return True

    def _clear_leftovers(self, instance: Instance, paths: InstancePaths) -> None:
        """After a postmaster was killed its backends may live on, and its lock files name a pid that may be reused.

        Whether one was ever started is our own note: its tenant can delete postmaster.pid, and two servers' processes
        on one data directory would destroy it.
        """
        if not self.kill_all(instance):
            raise TimeoutError("processes of the previous server do not end")
        self._remove_entry(instance, paths.data, PID_FILE)
        if paths.sockets.is_dir():
            self._remove_entry(instance, paths.sockets, f".s.PGSQL.{instance.port}.lock")

    def _clear_log(self, instance: Instance, paths: InstancePaths) -> None:
        """A server would wait for ever to write to a named pipe that its tenant put in the place of its log."""
        handle = os.open(paths.log, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            for name in LOGS:
                try:
                    plain = stat.S_ISREG(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode)
                except FileNotFoundError:
                    continue
                if not plain:
                    self._remove_entry(instance, paths.log, name)
        finally:
            os.close(handle)

    def _make_entry(self, instance: Instance, directory: Path, name: str) -> None:
        """An empty file in an instance's directory, where nothing of that name is."""
        parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=parent)
            try:
                if instance.uid is not None:
                    os.fchown(handle, instance.uid, instance.uid)
            finally:
                os.close(handle)
        finally:
            os.close(parent)

    def _remove_entry(self, instance: Instance, directory: Path, name: str) -> None:
        """Remove one name from an instance's directory, without following it; its tenant may have made it anything."""
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.unlink(name, dir_fd=handle)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            discard(self._rights, directory / name, instance.uid)
        finally:
            os.close(handle)


def kill_all_of_user(uid: int, *, limit: float = 5.0) -> bool:
    """Kill every process of an instance's user, as root; False when some are left after ``limit`` seconds."""
    end = time.monotonic() + limit
    while pids_of_user(uid):
        if time.monotonic() > end:
            return False
        # One call reaches them all at once, so that none can fork away from it.
        if run([sys.executable, "-I", "-S", "-c", _KILLER, str(uid), str(uid + _NOBODYS)], limit=limit).returncode != 0:
            run(["sh", "-c", "kill -KILL -1"], becoming(uid, uid), limit=limit)
        time.sleep(0.005)  # a bounded poll: more of them may be forked meanwhile
    return True


def _write_password(file: Path, instance: Instance, password: bytes) -> None:
    """libpq reads such a file only when nobody but its owner can: therefore it is the tenant's, made anew each time."""
    if not password or set(password) & set(b":\\\n\0"):
        raise ValueError("not a password for replication")
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, b"*:*:*:*:" + password + b"\n")
        if instance.uid is not None:
            os.fchown(handle, instance.uid, instance.uid)
    finally:
        os.close(handle)


def _new_output(file: Path, instance: Instance) -> int:
    """Where a server prints while it has no log. Some of its processes keep it open, so that it must be the tenant's:
    then what a tenant writes there counts as its own. Never an old one, which it may have linked elsewhere."""
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if instance.uid is not None:
        os.fchown(handle, instance.uid, -1)
    return handle
