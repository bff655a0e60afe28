"""Taking over what runs and tidying what a killed control plane left half done."""

from __future__ import annotations

import structlog

from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance
from howdah.engines.local.layout import InstancePaths
from howdah.engines.local.machine import Machine
from howdah.engines.local.observe import find_server, is_server
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
    """Look at what no instance of the registry owns. What may hold data is named, and left for a person to delete."""
    layout = machine.layout
    if not layout.services.is_dir():
        return
    known = {instance.id for instance in machine.registry.all()}
    for service in layout.services.iterdir():
        for home in service.iterdir() if is_plain_directory(service) else ():
            identifier = _instance_of(service.name, home.name)
            if identifier is None or identifier in known:
                continue
            paths = InstancePaths(home, layout.sockets(identifier))
            if is_plain_directory(paths.data) or is_plain_directory(home / "data"):
                _log.error("a data directory belongs to no known instance; it is kept", directory=str(home))
            else:
                _log.warning("an instance's directory belongs to no known instance", directory=str(home))


def _instance_of(service: str, home: str) -> InstanceId | None:
    try:
        ServiceId.from_ubid(service)
        return InstanceId.from_ubid(home.removeprefix("trash-"))
    except ValueError:
        return None
