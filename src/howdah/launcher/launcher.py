"""The verbs. Every argument is plain data and is checked: paths lie below the roots, uids in the range.

As root an instance acts as a uid of its own and never as ours; as an ordinary user there is one uid for everything.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from howdah.domain.errors import SetupError
from howdah.launcher.files import replace_file, sync_directory
from howdah.launcher.processes import pids_in_directories, pids_of_user, shared_memory_of

SYSTEM_USER = "howdah"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_log = structlog.get_logger()


class Launcher:
    def __init__(self, *, roots: Sequence[Path], uids: range, privileged: bool | None = None) -> None:
        self.privileged = os.geteuid() == 0 if privileged is None else privileged
        self._roots = tuple(Path(os.path.realpath(root)) for root in roots)
        self._uids = uids

    def owner(self, uid: int | None) -> int:
        """The uid that an instance's processes and files have."""
        return os.geteuid() if uid is None else uid

    def make_directory(self, path: Path, *, uid: int | None, mode: int) -> None:
        """A directory that belongs to ``uid`` (None: to us). One that is there is left as it is but for its rights."""
        self._check(path, uid)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if self.privileged and uid is not None:
                os.fchown(handle, uid, uid)
            os.fchmod(handle, mode)
        finally:
            os.close(handle)

    def write_file(self, path: Path, content: bytes, *, reader: int | None) -> None:
        """Replace a file in a directory of ours; ``reader`` may read it, nobody but us may write it.

        Not durable: after a crash of the machine the caller compares and writes again.
        """
        self._check(path, reader)
        group = reader if self.privileged else None
        replace_file(path, content, mode=0o600 if group is None else 0o640, group=group, durable=False)

    def give(self, path: Path, uid: int | None) -> None:
        """Hand a tree over to an instance: one of ours that no tenant could reach so far. Raises OSError."""
        self._check(path, uid)
        if not self.privileged or uid is None:
            return
        done = self.run(["chown", "-hR", f"{uid}:{uid}", str(path)], uid=None, limit=600)
        if done.returncode != 0:
            raise OSError(f"{path} cannot be given to uid {uid}: {done.stderr.strip()[-300:]}")

    def start(
        self, command: Sequence[str], *, uid: int | None, output: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a server in a session of its own; it outlives us. What it prints goes to ``output``, a file of ours."""
        self._check(output, uid)
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        try:
            return subprocess.Popen(
                [*self._as(uid), *command],
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                env=dict(environment),
                cwd="/",
                start_new_session=True,
                umask=0o077,
            )
        finally:
            os.close(handle)

    def run(
        self, command: Sequence[str], *, uid: int | None, environment: Mapping[str, str] | None = None, limit: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end. Raises OSError when it has none within ``limit`` seconds."""
        try:
            return subprocess.run(
                [*self._as(uid), *command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                env={"PATH": _PATH, "LC_ALL": "C.UTF-8"} if environment is None else dict(environment),
                cwd="/",
                umask=0o077,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise OSError(errno.ETIMEDOUT, f"no end within {limit:.0f} s", command[0]) from None

    def signal(self, handle: int, number: signal.Signals) -> None:
        """Signal the process of a pidfd; one that is gone is fine."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)

    def processes(self, uid: int | None, directories: Sequence[Path]) -> list[int]:
        """Every process of an instance: those of its uid, or those that work in its directories."""
        if self.privileged and uid is not None:
            self._check_uid(uid)
            return pids_of_user(uid)
        return pids_in_directories([os.path.realpath(directory) for directory in directories])

    def kill_all(self, uid: int | None, directories: Sequence[Path], *, limit: float = 5.0) -> bool:
        """Kill every process of an instance until none is left; False when some still are after ``limit`` seconds."""
        end = time.monotonic() + limit
        while left := self.processes(uid, directories):
            if time.monotonic() > end:
                _log.warning("processes survive SIGKILL", pids=left)
                return False
            if self.privileged and uid is not None:
                # One call reaches them all at once, so that none can fork away from it.
                self.run(["sh", "-c", "kill -KILL -1"], uid=uid, limit=limit)
            else:
                for pid in left:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
        return True

    def discard(self, directory: Path, uid: int | None) -> None:
        """Delete a directory that belongs to an instance, its content with the instance's rights. Raises OSError."""
        self._check(directory, uid)
        if not directory.is_dir() or directory.is_symlink():
            directory.unlink(missing_ok=True)
            return
        delete = ["find", "-P", str(directory), "-xdev", "-mindepth", "1", "-delete"]
        done = self.run(delete, uid=uid, limit=600)
        if done.returncode != 0:
            self.run(["chmod", "-R", "u+rwX", str(directory)], uid=uid, limit=600)
            done = self.run(delete, uid=uid, limit=600)
        if done.returncode != 0:
            raise OSError(f"{directory} cannot be deleted: {done.stderr.strip()[-300:]}")
        directory.rmdir()
        sync_directory(directory.parent)

    def remove_entry(self, directory: Path, name: str) -> None:
        """Remove one name from an instance's directory, without following it."""
        self._check(directory, None)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.unlink(name, dir_fd=handle)
        except FileNotFoundError:
            pass
        finally:
            os.close(handle)

    def release_memory(self, uid: int | None) -> None:
        """Free the shared memory that killed processes of an instance left behind (as root; nobody else's is known)."""
        if not self.privileged or uid is None:
            return
        self._check_uid(uid)
        self.run(["find", "/dev/shm", "-xdev", "-mindepth", "1", "-user", str(uid), "-delete"], uid=uid, limit=60)
        for identifier in shared_memory_of(uid):
            self.run(["ipcrm", "--shmem-id", str(identifier)], uid=uid, limit=60)

    def system_user(self) -> int | None:
        """The uid of the system user for work that belongs to no instance; None as an ordinary user.

        Raises SetupError when there is none and it cannot be made.
        """
        if not self.privileged:
            return None
        try:
            return pwd.getpwnam(SYSTEM_USER).pw_uid
        except KeyError:
            pass
        done = self.run(
            ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
            uid=None,
            limit=60,
        )
        try:
            return pwd.getpwnam(SYSTEM_USER).pw_uid
        except KeyError:
            raise SetupError(
                f"the system user '{SYSTEM_USER}' is missing and useradd failed: {done.stderr.strip()}; create it with:"
                f" useradd --system --user-group {SYSTEM_USER}"
            ) from None

    def _as(self, uid: int | None) -> list[str]:
        if not self.privileged or uid is None:
            return []
        gid = pwd.getpwuid(uid).pw_gid if uid not in self._uids else uid
        if uid == 0 or gid == 0:
            raise ValueError("nothing is started as root for an instance")
        user = ["--reuid", str(uid), "--regid", str(gid)]
        return ["/usr/bin/setpriv", *user, "--clear-groups", "--no-new-privs", "--inh-caps=-all", "--"]

    def _check(self, path: Path, uid: int | None) -> None:
        parent = Path(os.path.realpath(path.parent))
        if not any(parent.is_relative_to(root) for root in self._roots):
            raise ValueError(f"{path} is outside of what Howdah manages")
        if uid is not None and self.privileged:
            self._check_uid(uid)

    def _check_uid(self, uid: int) -> None:
        if uid in self._uids:
            return
        if uid == 0 or uid != self.system_user():
            raise ValueError(f"uid {uid} is not one of an instance")
