"""Taking over what runs and tidying what a killed control plane left half done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import structlog

from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance
from howdah.engines.local.deletion import delete_home
from howdah.engines.local.layout import TRASH, InstancePaths
from howdah.engines.local.machine import Machine
from howdah.engines.local.observe import find_server, is_server
from howdah.engines.local.sockets import discard_sockets, tidy_sockets
from howdah.launcher.files import is_plain_directory
from howdah.launcher.processes import all_pids, inspect_process

_log = structlog.get_logger()


def adopt(machine: Machine, instance: Instance) -> None:
    """Watch the instance's server if it runs and is not watched yet."""
    if machine.watch.handle(instance.id) is not None:
        return
    facts = find_server(instance, machine.layout.of(instance), machine.ground, None)
    if facts is not None:
        machine.watch.hold(instance, facts.pid)


def adopt_all(machine: Machine) -> int:
    """Watch every running server that the registry knows; how many. Also those whose postmaster.pid is gone."""
    missing: dict[str, Instance] = {}
    for instance in machine.registry.all():
        adopt(machine, instance)
        if machine.watch.handle(instance.id) is None:
            missing[instance.id.ubid] = instance
    for pid in all_pids() if missing else ():
        facts = inspect_process(pid)
        if facts is None or not facts.executable.endswith("/bin/postgres"):
            continue
        for instance in missing.values():
            if is_server(facts, instance, machine.layout.of(instance), machine.ground):
                machine.watch.hold(instance, pid)
    return len(machine.watch.held())


def tidy(machine: Machine) -> None:
    """Look at what no instance of the registry owns. What was being deleted, and what never held data, is deleted;
    a data directory that was ever used is named and left for a person to decide."""
    _discard_old_pools(machine)
    tidy_sockets(machine.layout, machine.launcher)
    known = {instance.id for instance in machine.registry.all()}
    for service, home in _homes(machine.layout.services):
        trash = home.name.startswith(TRASH)
        identifier = _instance_of(service.name, home.name.removeprefix(TRASH))
        if identifier is None or identifier in known:
            continue
        paths = InstancePaths(home, machine.layout.sockets(identifier))
        if not trash and paths.initialised.exists():
            _log.error("a data directory belongs to no known instance; it is kept", directory=str(home))
            continue
        owner = _owner(machine, paths)
        try:
            delete_home(machine.launcher, home, owner)
            discard_sockets(machine.launcher, paths.sockets, owner)
            service.rmdir()
        except OSError as error:
            _log.warning("a leftover could not be deleted", directory=str(home), error=str(error))
        else:
            _log.warning("deleted what was left of an unknown instance", directory=str(home))


def _discard_old_pools(machine: Machine) -> None:
    """Clones of templates that an update has replaced."""
    current = {pool.directory for pool in machine.pools.values()}
    for directory in list(machine.layout.pool.iterdir()) if machine.layout.pool.is_dir() else ():
        if directory not in current:
            shutil.rmtree(directory, ignore_errors=True)


def _homes(services: Path) -> Iterator[tuple[Path, Path]]:
    for service in list(services.iterdir()) if services.is_dir() else ():
        for home in list(service.iterdir()) if is_plain_directory(service) else ():
            yield service, home


def _owner(machine: Machine, paths: InstancePaths) -> int | None:
    """The uid whose directory it is, as the kernel says; None when it is ours."""
    for directory in (paths.data, paths.log, paths.sockets):
        if is_plain_directory(directory) and (uid := os.lstat(directory).st_uid) != machine.ground.own_uid:
            return uid
    return None


def _instance_of(service: str, home: str) -> InstanceId | None:
    try:
        ServiceId.from_ubid(service)
        return InstanceId.from_ubid(home)
    except ValueError:
        return None
