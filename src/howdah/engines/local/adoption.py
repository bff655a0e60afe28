"""Taking over what runs and tidying what a killed control plane left half done."""

from __future__ import annotations

import shutil

import structlog

from howdah.domain.instances import Instance
from howdah.engines.local.configuration import UPSTREAM, started_with
from howdah.engines.local.machine import Machine
from howdah.launcher.processes import arguments_of
from howdah.launcher.servers import Started

_log = structlog.get_logger()


def adopt(machine: Machine, instance: Instance) -> None:
    """Watch the instance's server if it runs and is not watched yet."""
    if machine.watch.process(instance.id) is not None:
        return
    facts = machine.launcher.look(instance, None).server
    if facts is not None:
        machine.watch.hold(instance, Started(facts.pid, facts.started))


def adopt_all(machine: Machine) -> int:
    """Watch every running server that the registry knows; how many."""
    found = machine.launcher.find_servers(machine.registry.all())
    try:
        machine.launcher.hold_again([one for one, _ in found], [_peers(process) for _, process in found])
    except OSError as error:
        _log.warning("running servers are not held to their egress rules", error=str(error))
    for instance, process in found:
        machine.watch.hold(instance, process)
    return len(machine.watch.held())


def _peers(process: Started) -> list[int]:
    """Whom a standby was started to follow."""
    followed = started_with(tuple(arguments_of(process.pid))).get(UPSTREAM, "")
    return [int(port) for port in followed.split(",") if port.isdigit()]


def tidy(machine: Machine) -> None:
    """Look at what no instance of the registry owns. What was being deleted, and what never held data, is deleted;
    a data directory that was ever used is named and left for a person to decide."""
    _discard_old_pools(machine)
    for problem in machine.launcher.tidy_sockets():
        _log.warning("a leftover could not be deleted", error=problem)
    known = {instance.id.ubid for instance in machine.registry.all()}
    for home in machine.launcher.homes():
        directory = str(machine.layout.services / home.service / home.name)
        if home.instance in known:
            continue
        if home.used and not home.trash:
            _log.error("a data directory belongs to no known instance; it is kept", directory=directory)
            continue
        try:
            machine.launcher.delete_leftover(home)
        except (OSError, ValueError) as error:
            _log.warning("a leftover could not be deleted", directory=directory, error=str(error))
        else:
            _log.warning("deleted what was left of an unknown instance", directory=directory)


def _discard_old_pools(machine: Machine) -> None:
    """Clones of templates that an update has replaced."""
    current = {pool.directory for pool in machine.pools.values()}
    for directory in list(machine.layout.pool.iterdir()) if machine.layout.pool.is_dir() else ():
        if directory not in current:
            shutil.rmtree(directory, ignore_errors=True)
