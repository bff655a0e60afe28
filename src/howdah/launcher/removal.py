"""Deleting what belongs to instances, each part with the rights of its owner."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance
from howdah.launcher.commands import run
from howdah.launcher.files import is_plain_directory, sync_directory
from howdah.launcher.homes import LINK, socket_link
from howdah.launcher.layout import TRASH, InstancePaths, Layout
from howdah.launcher.processes import ipc_of
from howdah.launcher.rights import Rights

LIMIT = 600.0
"""Seconds that one deletion may take."""

_LAST_WORDS = ("/bin/sh", "-c", '"$@" 2>&1 >/dev/null | tail -c 300', "sh")
"""Begins a command of which only the end of its complaints is kept: a tenant decides how many there are."""

_PUBLIC = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock")
_IPCRM = {"shm": "shmem-id", "sem": "semaphore-id", "msg": "queue-id"}


@dataclass(frozen=True, slots=True)
class Home:
    """A directory of an instance that is on disk. ``name``: its last part, with TRASH before it while it is being
    deleted; ``used``: its data directory was once put in place."""

    service: str
    name: str
    used: bool

    @property
    def instance(self) -> str:
        return self.name.removeprefix(TRASH)

    @property
    def trash(self) -> bool:
        return self.name.startswith(TRASH)


def delete_instance(layout: Layout, rights: Rights, instance: Instance) -> None:
    """Delete an instance whose processes have ended. Raises OSError; what is half done is found by the next call."""
    paths, trash = layout.of(instance), layout.trash(instance.service, instance.id)
    if is_plain_directory(paths.home):
        # Under this name it never looks like an instance again, however little of it is deleted.
        paths.home.rename(trash)
        sync_directory(paths.home.parent)
    _delete_home(rights, trash, instance.uid)
    _discard_sockets(rights, paths.sockets, instance.uid)
    if instance.uid is not None:
        _discard_litter(rights, instance.uid)


def discard_data(layout: Layout, rights: Rights, instance: Instance) -> None:
    """Delete the data of an instance whose processes have ended: then it is as one that never had any. Raises OSError;
    what is half done is found by the next call."""
    paths = layout.of(instance)
    for directory in (paths.incoming, paths.data):
        if is_plain_directory(directory):
            discard_rest(rights, paths)
            # Under this name it never looks like data again, however little of it is deleted when we are killed.
            directory.rename(paths.discarded)
            sync_directory(paths.home)
    paths.initialised.unlink(missing_ok=True)
    paths.applied.unlink(missing_ok=True)
    if is_plain_directory(paths.conf):
        sync_directory(paths.conf)
    discard_rest(rights, paths)


def discard_rest(rights: Rights, paths: InstancePaths) -> None:
    """What a deletion of data has left that did not come to its end. Raises OSError."""
    if is_plain_directory(paths.discarded):
        owner = os.lstat(paths.discarded).st_uid
        discard(rights, paths.discarded, None if owner == os.geteuid() else owner)


def homes(layout: Layout) -> list[Home]:
    """Every directory that an instance has, or had."""
    return list(_homes(layout))


def checked(service: str) -> str:
    """The name of a service's directory. Raises ValueError when it cannot be one."""
    return ServiceId.from_ubid(service).ubid


def delete_leftover(layout: Layout, rights: Rights, service: str, name: str) -> None:
    """Delete what was being deleted, or never held data. Raises OSError; ValueError for one that was used."""
    identifier = InstanceId.from_ubid(name.removeprefix(TRASH))
    home = layout.services / checked(service) / name
    paths = InstancePaths(home, layout.sockets(identifier))
    if not name.startswith(TRASH) and paths.initialised.exists():
        raise ValueError(f"{home} holds the data of an instance")
    owner = _owner(paths)
    _delete_home(rights, home, owner)
    _discard_sockets(rights, paths.sockets, owner)
    remove_empty(home.parent)


def remove_empty(directory: Path) -> None:
    """Remove a service's directory when no instance is left in it."""
    if is_plain_directory(directory) and not any(directory.iterdir()):
        directory.rmdir()
        sync_directory(directory.parent)


def tidy_sockets(layout: Layout, rights: Rights) -> list[str]:
    """Discard those whose instance's directory is gone, with its whole state directory perhaps; in words, what stays
    against our will."""
    problems: list[str] = []
    for link in list(layout.run.glob("*" + LINK)) if layout.run.is_dir() else ():
        if link.is_dir():
            continue
        sockets = link.with_suffix("")
        uid = os.lstat(sockets).st_uid if is_plain_directory(sockets) else os.geteuid()
        try:
            _discard_sockets(rights, sockets, None if uid == os.geteuid() else uid)
        except (OSError, ValueError) as error:
            problems.append(f"a stale socket directory stays: {error}")
    return problems


def _homes(layout: Layout) -> Iterator[Home]:
    for service in list(layout.services.iterdir()) if layout.services.is_dir() else ():
        for home in list(service.iterdir()) if is_plain_directory(service) else ():
            if is_plain_directory(home) and _is_home(service.name, home.name):
                yield Home(service.name, home.name, (home / "conf" / "initialised.json").exists())


def _is_home(service: str, name: str) -> bool:
    try:
        ServiceId.from_ubid(service)
        InstanceId.from_ubid(name.removeprefix(TRASH))
    except ValueError:
        return False
    return True


def _owner(paths: InstancePaths) -> int | None:
    """The uid whose directory it is, as the kernel says; None when it is ours."""
    for directory in (paths.data, paths.log, paths.sockets):
        if is_plain_directory(directory) and (uid := os.lstat(directory).st_uid) != os.geteuid():
            return uid
    return None


def _delete_home(rights: Rights, home: Path, uid: int | None) -> None:
    if not is_plain_directory(home):
        return
    discard_rest(rights, InstancePaths(home, home))
    for name in ("data", "incoming", "log"):
        if is_plain_directory(home / name):
            # A killed hand-over leaves files of two owners behind, none of which a tenant could reach.
            discard(rights, home / name, uid if name != "incoming" else None)
    discard(rights, home, None)


def _discard_sockets(rights: Rights, sockets: Path, uid: int | None) -> None:
    if is_plain_directory(sockets):
        discard(rights, sockets, uid)
    socket_link(sockets).unlink(missing_ok=True)


def discard(rights: Rights, directory: Path, uid: int | None) -> None:
    """Delete a directory in one of ours, its content with the rights of ``uid`` (None: ours). Raises OSError."""
    if uid is not None:
        rights.check(uid)
    if not is_plain_directory(directory):
        directory.unlink(missing_ok=True)
        return
    delete = [*_LAST_WORDS, "find", "-P", str(directory), "-xdev", "-mindepth", "1", "-delete"]
    done = run(delete, rights.becoming(uid), limit=LIMIT)
    if done.stdout and (uid is not None or not rights.privileged):
        # Never as root, whom modes do not hinder: chmod may follow a link put in the place of a file meanwhile.
        run([*_LAST_WORDS, "chmod", "-R", "u+rwX", str(directory)], rights.becoming(uid), limit=LIMIT)
        done = run(delete, rights.becoming(uid), limit=LIMIT)
    if done.stdout:
        raise OSError(f"{directory} cannot be deleted: {done.stdout.strip()[-300:]}")
    with contextlib.suppress(FileNotFoundError):  # Another start on this machine tidies the same sockets.
        directory.rmdir()
    sync_directory(directory.parent)


def _discard_litter(rights: Rights, uid: int) -> None:
    """What processes of an instance left in places that are everybody's; its uid may be another's one day. What cannot
    be deleted with its own rights stays: it belongs in part to somebody else."""
    mine = [*(place for place in _PUBLIC if Path(place).is_dir()), "-xdev", "-user", str(uid)]
    find = [*_LAST_WORDS, "find", "-P", *mine]
    opened = ["-type", "d", "!", "-perm", "-700", "-exec", "chmod", "u+rwx", "{}", ";"]
    run([*find, *opened], rights.becoming(uid), limit=LIMIT)
    run([*find, "-delete"], rights.becoming(uid), limit=LIMIT)
    for kind, identifier in ipc_of(uid):
        run(["ipcrm", f"--{_IPCRM[kind]}", str(identifier)], rights.becoming(uid), limit=LIMIT)
