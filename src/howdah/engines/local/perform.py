"""Each action of the plan, done."""

from __future__ import annotations

from howdah.domain.errors import Unavailable
from howdah.domain.instances import Instance
from howdah.domain.services import ServiceSecrets, ServiceSpec
from howdah.engines.local import plan as planning
from howdah.engines.local.actions.await_ready import await_ready
from howdah.engines.local.actions.configure import configure
from howdah.engines.local.actions.password import apply_password
from howdah.engines.local.actions.reload import reload
from howdah.engines.local.actions.restore import finish_restore, restore
from howdah.engines.local.actions.seed import seed
from howdah.engines.local.actions.start import Following, start
from howdah.engines.local.actions.stop import kill, stop
from howdah.engines.local.configuration import Configuration
from howdah.engines.local.machine import Machine
from howdah.engines.local.observed import Observed, Running
from howdah.engines.local.plan import Action
from howdah.engines.local.restoring import Restorations


async def perform(
    machine: Machine,
    restorations: Restorations | None,
    action: Action,
    seen: Observed,
    spec: ServiceSpec,
    secrets: ServiceSecrets,
    files: Configuration | None,
    following: Following | None,
) -> None:
    """``restorations``: None where backups are off. ``following``: of a standby. Raises HowdahError, OSError."""
    instance, running = seen.instance, seen.running
    match action:
        case planning.Allocate():
            await machine.allocation.new(spec.id)
        case _ if instance is None or files is None:
            raise AssertionError(f"{action} without an instance")
        case planning.Seed():
            await seed(machine, instance, spec.postgres_version)
        case planning.Restore():
            if restorations is None or spec.source is None:
                raise Unavailable("it cannot be restored while backups are off (backup.archive)")
            await restore(machine, restorations, instance, spec.source, spec.postgres_version)
        case planning.Configure():
            await configure(machine, instance, files)
        case planning.Relocate():
            await machine.allocation.move(instance)
        case planning.Start(recovering=recovering):
            recovery = seen.recovery if recovering else None
            await start(machine, instance, spec, files.digest, recovery=recovery, following=following)
        case _ if running is None:
            raise AssertionError(f"{action} without a running server")
        case _:
            await _perform_running(machine, action, instance, running, spec, secrets, files)


async def _perform_running(
    machine: Machine,
    action: Action,
    instance: Instance,
    running: Running,
    spec: ServiceSpec,
    secrets: ServiceSecrets,
    files: Configuration,
) -> None:
    match action:
        case planning.AwaitReady():
            await await_ready(machine, instance)
        case planning.Stop():
            await stop(machine, instance)
        case planning.Kill():
            await kill(machine, instance)
        case planning.FinishRestore():
            await finish_restore(machine, instance)
        case planning.SetPassword(version):
            verifier = secrets.password_verifier
            await apply_password(machine, instance, running, version=version, verifier=verifier)
        case planning.Reload():
            await reload(machine, instance, running, certificate=spec.certificate, digest=files.digest)
        case _:
            raise AssertionError(f"{action} is not for a running server")
