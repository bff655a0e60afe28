"""The end of a server whose backups are to be kept: with a base backup, and after its last WAL has left it."""

from __future__ import annotations

from howdah.domain.services import ServiceSpec
from howdah.engines.local.actions.stop import stop
from howdah.engines.local.archiving.archives import Archives
from howdah.engines.local.archiving.receiving import Relay, Serving
from howdah.engines.local.machine import Machine
from howdah.engines.local.observed import Observed, Phase
from howdah.launcher.servers import Started


def serving_of(machine: Machine, spec: ServiceSpec, seen: Observed, relay: Relay | None = None) -> Serving | None:
    """Its server as archiving needs it; None while there is none that lets clients in. Without a relay for what comes
    last: a server that ends waits for those who are connected to it, and them alone."""
    instance, running = seen.instance, seen.running
    if not _is_used(spec, seen) or instance is None or running is None or running.phase is not Phase.READY:
        return None
    if running.standing_by:
        return None  # It writes nothing of its own yet.
    return Serving(
        process=Started(running.pid, running.started),
        binaries=machine.binaries[spec.postgres_version],
        sockets=machine.layout.of(instance).sockets,
        port=instance.port,
        storage_gib=spec.size.storage_gib,
        asked=spec.backup,
        relay=relay,
    )


async def conclude(
    machine: Machine, archives: Archives, spec: ServiceSpec, seen: Observed, *, hurry: bool
) -> str | None:
    """One pass, see engines/protocol.py. A fast shutdown waits until the receiver has all, and so is what comes last.

    Raises Unavailable when not even SIGKILL ends the server.
    """
    if seen.instance is None or seen.running is None or spec.timeline is None or not _is_used(spec, seen):
        return None
    if not hurry and seen.running.phase is not Phase.STOPPING:
        missing = await _missing(archives, spec, serving_of(machine, spec, seen))
        if missing is not None:
            return missing
    archives.expect_end(spec.timeline)
    return None if await stop(machine, seen.instance) else "its server ends"


async def _missing(archives: Archives, spec: ServiceSpec, serving: Serving | None) -> str | None:
    """What is still to be had of a server that runs, in words, and why it does not come."""
    line = archives.follow(spec, serving)
    if line is None or serving is None:
        return "its server has to let its WAL be fetched"
    if line.backing_up.bases and await line.is_received():
        return None
    missing = "its last WAL is received" if line.backing_up.bases else "its first base backup is there"
    return missing if line.problem is None else f"{missing} ({line.problem})"


def _is_used(spec: ServiceSpec, seen: Observed) -> bool:
    """Whether clients were ever let in: until then one that is restored is its source's."""
    return spec.source is None or seen.password_version is not None
