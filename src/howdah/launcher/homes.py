"""Directories of instances: made, filled, handed over to their owner, deleted. Each step may be killed and repeated.

The homes and all above them belong to us alone. What lies in ``data`` and ``log`` is the tenant's, and so is only
touched with the tenant's rights; a clone in the pool is the control plane's, which is not trusted with root's.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import struct
from collections.abc import Mapping
from pathlib import Path

from howdah.domain.instances import Instance
from howdah.launcher.files import is_plain_directory, read_foreign, read_own, replace_file, sync_directory
from howdah.launcher.layout import CONFIGURATION_FILES, InstancePaths, Layout, make_run_directory
from howdah.launcher.rights import Rights

LINK = ".home"
SETTINGS = "postgresql.auto.conf"
"""Where ALTER SYSTEM writes, in the data directory."""

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def make_home(layout: Layout, rights: Rights, instance: Instance) -> None:
    """Everything of an instance but its data, with the right owners. Raises OSError."""
    paths = layout.of(instance)
    # The control plane may list these two, to find what nobody owns; tenants may only pass through.
    _make(layout.services, group=rights.group, mode=0o751)
    _make(paths.home.parent, group=rights.group, mode=0o751)
    for directory in (paths.home, paths.conf, paths.tls):
        _make(directory, mode=0o711)
    _make(paths.log, owner=instance.uid, group=instance.uid, mode=0o700)
    make_sockets(layout, rights, instance)


def make_sockets(layout: Layout, rights: Rights, instance: Instance) -> None:
    """The instance's socket directory, which the control plane may pass through; its home is there already."""
    paths = layout.of(instance)
    make_run_directory(layout.run)
    with contextlib.suppress(FileExistsError):
        socket_link(paths.sockets).symlink_to(paths.home)
    group, mode = (rights.group, 0o710) if rights.privileged else (None, 0o700)
    _make(paths.sockets, owner=instance.uid, group=group, mode=mode)


def open_data(paths: InstancePaths) -> None:
    """Postgres refuses to start in a data directory with other rights, which its tenant can give it. Raises OSError."""
    handle = os.open(paths.data, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.chmod(f"/proc/self/fd/{handle}", 0o700)
    finally:
        os.close(handle)


def set_aside(paths: InstancePaths, owner: int, *, aside: bool) -> bool:
    """Have the next server start without what ALTER SYSTEM has set, or with it again; whether that is a change.
    ``owner``: the uid of its tenant."""
    content = read_foreign(paths.data, SETTINGS, owner=owner, most=65536) if aside else None
    if content is not None and all(line.startswith(b"#") or not line.strip() for line in content.splitlines()):
        return False
    kept, broken = SETTINGS, f"{SETTINGS}.broken"
    names = (kept, broken) if aside else (broken, kept)
    handle = os.open(paths.data, _OPEN)
    try:
        if not aside and kept in os.listdir(handle):
            return False
        os.rename(*names, src_dir_fd=handle, dst_dir_fd=handle)
    except OSError:
        return False  # There is none, or its tenant has put something in the way.
    finally:
        os.close(handle)
    return True


def socket_link(sockets: Path) -> Path:
    """Socket directories lie apart from their instances, under short names; this link beside each tells whose it is."""
    return sockets.with_name(sockets.name + LINK)


def place(layout: Layout, rights: Rights, instance: Instance, clone: str | None, version: str) -> None:
    """Put a clone of the pool (``<template>/<name>``) in place as the instance's data directory, and record it.

    None: one that is there already, put in place by an earlier call that did not come to its end. Raises OSError.
    """
    paths = layout.of(instance)
    if not is_plain_directory(paths.data):
        if not is_plain_directory(paths.incoming):
            _fetch(layout, paths, clone)
        _give(rights, instance, paths.incoming)
        paths.incoming.rename(paths.data)
    # The parents too: their entries are new, and what follows says that the data directory is there for good.
    for directory in (paths.home, paths.home.parent, paths.home.parent.parent):
        sync_directory(directory)
    note = {
        "version": version,
        "system_identifier": str(_system_identifier(paths.data, owner=rights.owner(instance.uid))),
    }
    replace_file(paths.initialised, json.dumps(note).encode(), mode=0o600)


def write_configuration(paths: InstancePaths, instance: Instance, files: Mapping[str, bytes]) -> None:
    """Settings, rules, certificate and key: we write them, the instance reads them. Not durable: after a crash of the
    machine they are compared and written again."""
    for name, content in files.items():
        if name not in CONFIGURATION_FILES:
            raise ValueError(f"{name} is no file of an instance's configuration")
        path = paths.home / name
        if read_own(path) != content:
            mode = 0o600 if instance.uid is None else 0o640
            replace_file(path, content, mode=mode, group=instance.uid, durable=False)


def _make(directory: Path, *, owner: int | None = None, group: int | None = None, mode: int) -> None:
    """A directory with these rights. One that is there is left as it is but for them."""
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    handle = os.open(directory, _OPEN)
    try:
        if os.geteuid() == 0 and (owner is not None or group is not None):
            os.fchown(handle, -1 if owner is None else owner, -1 if group is None else group)
        os.fchmod(handle, mode)
    finally:
        os.close(handle)


def _fetch(layout: Layout, paths: InstancePaths, clone: str | None) -> None:
    """Move a clone out of the pool, without following anything that its owner put there."""
    template, _, name = (clone or "").partition("/")
    if not template or not name or "/" in name or {template, name} & {".", ".."}:
        raise FileNotFoundError(f"{clone!r} is no clone of the pool")
    with contextlib.ExitStack() as stack:

        def enter(name: str | Path, parent: int | None = None) -> int:
            handle = os.open(name, _OPEN, dir_fd=parent)
            stack.callback(os.close, handle)
            return handle

        source = enter(template, enter(layout.pool))
        os.rename(name, paths.incoming.name, src_dir_fd=source, dst_dir_fd=enter(paths.home))
    if not is_plain_directory(paths.incoming):
        paths.incoming.unlink()
        raise NotADirectoryError(f"{clone!r} is no directory")


def _give(rights: Rights, instance: Instance, tree: Path) -> None:
    """Hand a clone over to the instance, file by file: only what was the control plane's own. A hard link to a file of
    somebody else's in it is an error, not a present."""
    if instance.uid is None:
        return
    allowed = {rights.operator, instance.uid}
    for _, directories, files, handle in os.fwalk(tree, follow_symlinks=False, topdown=False):
        for name in (*directories, *files):
            _give_entry(name, handle, instance.uid, allowed)
    _give_entry(str(tree), None, instance.uid, allowed)


def _give_entry(name: str, parent: int | None, uid: int, allowed: set[int]) -> None:
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        facts = os.fstat(handle)
        if facts.st_uid not in allowed or not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
            raise PermissionError(f"{name} in a clone is not a plain file of the control plane's")
        os.chown(f"/proc/self/fd/{handle}", uid, uid)
    finally:
        os.close(handle)


def is_database(paths: InstancePaths, owner: int) -> bool:
    """Whether there is no data directory yet, or it is one of Postgres."""
    if not is_plain_directory(paths.data):
        return True
    return read_foreign(paths.data / "global", "pg_control", owner=owner, most=8) is not None


def _system_identifier(data: Path, *, owner: int) -> int:
    content = read_foreign(data / "global", "pg_control", owner=owner, most=8)
    if content is None or len(content) < 8:
        raise FileNotFoundError(f"{data} is no data directory of Postgres: it has no global/pg_control")
    return struct.unpack("<Q", content)[0]
