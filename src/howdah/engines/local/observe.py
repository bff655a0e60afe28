"""One look at an instance: what is on disk, what runs. Level-triggered; takes well under a millisecond."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from howdah.domain.instances import Instance
from howdah.engines.local.configuration import (
    CONFIGURATION,
    CONFIGURATION_FILES,
    RESTART,
    digest_of,
    started_with,
)
from howdah.engines.local.layout import InstancePaths
from howdah.engines.local.observed import Observed, Phase, Running
from howdah.engines.local.record import read_applied
from howdah.engines.local.watch import Watch
from howdah.launcher.files import is_plain_directory, read_foreign, read_own
from howdah.launcher.processes import ProcessFacts, inspect_process

_PHASES = {"ready": Phase.READY, "stopping": Phase.STOPPING}
_PID_FILE = "postmaster.pid"


@dataclass(frozen=True, slots=True)
class Ground:
    """What is the same for all instances: where our programs lie, which uid runs those that have none of their own."""

    binaries: str
    own_uid: int


def observe(instance: Instance, paths: InstancePaths, ground: Ground, watch: Watch) -> Observed:
    applied = read_applied(paths.applied)
    facts = find_server(instance, paths, ground, watch.pid(instance.id))
    running: Running | None = None
    if facts is not None:
        settings = started_with(facts.arguments)
        loaded = applied.configuration if applied.process == (facts.pid, facts.started) else None
        running = Running(
            pid=facts.pid,
            started=facts.started,
            phase=current_phase(instance, paths, ground, watch, facts.pid),
            port=_number(settings.get("port")) or 0,
            restart=_number(settings.get(RESTART)),
            configuration=loaded or settings.get(CONFIGURATION),
            suspended=facts.state in "Tt",
        )
    return Observed(
        instance=instance,
        initialised=paths.initialised.exists(),
        data=is_plain_directory(paths.data),
        configuration=_configuration(paths),
        running=running,
        port_free=running is not None or port_is_free(instance.port),
        password_version=applied.password_version,
        answering=watch.answering(instance.id),
        wait=watch.wait(instance.id),
        exit=watch.last_exit(instance.id),
    )


def find_server(instance: Instance, paths: InstancePaths, ground: Ground, watched: int | None) -> ProcessFacts | None:
    """The instance's postmaster. postmaster.pid is only a hint, its tenant can write it: the kernel decides.

    watched: the pid of a process that we started, or verified and hold by a pidfd.
    """
    if watched is not None:
        return inspect_process(watched)
    pid = _noted_pid(paths, instance, ground)
    facts = inspect_process(pid) if pid is not None else None
    return facts if facts is not None and is_server(facts, instance, paths, ground) else None


def is_server(facts: ProcessFacts, instance: Instance, paths: InstancePaths, ground: Ground) -> bool:
    """Whether a process is this instance's postmaster: our program, its uid, its directory, its command line."""
    owner = ground.own_uid if instance.uid is None else instance.uid
    return (
        facts.uid == owner
        and facts.executable.startswith(ground.binaries + "/")
        and facts.executable.endswith("/bin/postgres")
        and facts.arguments[1:3] == ("-D", str(paths.data))
        and f"--howdah.instance={instance.id.ubid}" in facts.arguments
        and (facts.directory == str(paths.data) or facts.directory == "/")
    )


def port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _pid_lines(paths: InstancePaths, instance: Instance, ground: Ground) -> list[str]:
    owner = ground.own_uid if instance.uid is None else instance.uid
    content = read_foreign(paths.data, _PID_FILE, owner=owner, most=4096)
    return (content or b"").decode(errors="replace").splitlines()


def _noted_pid(paths: InstancePaths, instance: Instance, ground: Ground) -> int | None:
    lines = _pid_lines(paths, instance, ground)
    return _number(lines[0]) if lines else None


def server_phase(instance: Instance, paths: InstancePaths, ground: Ground, pid: int) -> Phase:
    """Line 8 of postmaster.pid; starting while the file is still that of an earlier, killed server."""
    lines = _pid_lines(paths, instance, ground)
    line = lines[7].strip() if len(lines) > 7 and _number(lines[0]) == pid else ""
    return _PHASES.get(line, Phase.STARTING)


def current_phase(instance: Instance, paths: InstancePaths, ground: Ground, watch: Watch, pid: int) -> Phase:
    """The same, but starting too while it recovers from the crash of one of its processes."""
    phase = server_phase(instance, paths, ground, pid)
    if phase is not Phase.READY:
        return phase
    watch.follow(instance.id)
    return Phase.STARTING if watch.recovering(instance.id) else phase


def _configuration(paths: InstancePaths) -> str | None:
    files: dict[str, bytes] = {}
    for name in CONFIGURATION_FILES:
        content = read_own(paths.home / name)
        if content is None:
            return None
        files[name] = content
    return digest_of(files)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
