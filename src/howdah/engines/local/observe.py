"""One look at an instance, as the planner needs it. Level-triggered; takes well under a millisecond."""

from __future__ import annotations

from howdah.domain.instances import Instance
from howdah.engines.local.children import wal_writer
from howdah.engines.local.configuration import CONFIGURATION, CONNECTIONS, RESTART, UPSTREAM, started_with
from howdah.engines.local.machine import Machine
from howdah.engines.local.observed import Observed, Phase, Running
from howdah.engines.local.ports import port_is_free
from howdah.engines.local.record import read_applied
from howdah.launcher.look import noted_pid

_PHASES = {"ready": Phase.READY, "stopping": Phase.STOPPING}


def observe(machine: Machine, instance: Instance) -> Observed:
    watch = machine.watch
    look = machine.launcher.look(instance, watch.pid(instance.id))
    applied = read_applied(look.applied)
    running: Running | None = None
    if (facts := look.server) is not None:
        settings = started_with(facts.arguments)
        loaded = applied.configuration if applied.process == (facts.pid, facts.started) else None
        phase = _current(machine, instance, facts.pid, look.pid_file)
        upstream = settings.get(UPSTREAM)
        running = Running(
            pid=facts.pid,
            started=facts.started,
            phase=phase,
            port=_number(settings.get("port")) or 0,
            restart=_number(settings.get(RESTART)),
            configuration=loaded or settings.get(CONFIGURATION),
            suspended=facts.state in "Tt",
            standing_by=upstream is not None and phase is Phase.READY and wal_writer(facts.pid) is None,
            upstream=upstream,
            connections=_number(settings.get(CONNECTIONS)) or 0,
        )
    return Observed(
        instance=instance,
        initialised=look.initialised,
        data=look.data,
        archived_wal=look.archived_wal,
        configuration=look.configuration,
        running=running,
        port_free=running is not None or port_is_free(instance.port),
        password_version=applied.password_version,
        recovery=applied.recovery,
        answering=watch.answering(instance.id),
        wait=watch.wait(instance.id),
        exit=watch.last_exit(instance.id),
        crashes=watch.crashes(instance.id),
        failed_starts=watch.failed_starts(instance.id),
        damage=watch.damage(instance.id),
    )


def current_phase(machine: Machine, instance: Instance, pid: int) -> Phase:
    """Line 8 of postmaster.pid; starting while the file is still that of an earlier, killed server, and while it
    recovers from the crash of one of its processes."""
    return _current(machine, instance, pid, machine.launcher.pid_file(instance))


def _current(machine: Machine, instance: Instance, pid: int, pid_file: bytes) -> Phase:
    lines = pid_file.decode(errors="replace").splitlines()
    line = lines[7].strip() if len(lines) > 7 and noted_pid(pid_file) == pid else ""
    phase = _PHASES.get(line, Phase.STARTING)
    if phase is not Phase.READY:
        return phase
    machine.watch.opened(instance.id)
    machine.watch.follow(instance.id)
    return Phase.STARTING if machine.watch.recovering(instance.id) else phase


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
