"""What to do next for one instance. No I/O: the order of things reads from top to bottom.

A data directory is made once in an instance's life. One that has vanished is reported, never made anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from howdah.domain.instances import Instance
from howdah.engines.local.observed import Observed, Phase, Running, Wanted


@dataclass(frozen=True, slots=True)
class Allocate:
    """Choose an id, a port and a uid, and remember them."""


@dataclass(frozen=True, slots=True)
class Seed:
    """Put a fresh data directory in place and record that this was done."""


@dataclass(frozen=True, slots=True)
class Restore:
    """Put a data directory from an archive in place and record that this was done; for a bounded time."""


@dataclass(frozen=True, slots=True)
class Configure:
    """Write settings, rules, certificate and key."""


@dataclass(frozen=True, slots=True)
class Relocate:
    """Choose another port: somebody else holds it."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start the server with this restart counter. recovering: its first start, which replays an archive's WAL."""

    restart: int
    recovering: bool = False


@dataclass(frozen=True, slots=True)
class AwaitReady:
    """Wait, for a bounded time, until the server accepts connections."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Have the server end, for a bounded time."""


@dataclass(frozen=True, slots=True)
class Kill:
    """End a standby that hangs, at once: it has nothing to write out that its primary has not."""


@dataclass(frozen=True, slots=True)
class FinishRestore:
    """Delete the WAL that has been replayed."""


@dataclass(frozen=True, slots=True)
class SetPassword:
    version: int


@dataclass(frozen=True, slots=True)
class Reload:
    """Have the server read its files again and see that it did."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Put a copy of the primary's data directory in place and record that this was done; for a bounded time."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Delete the data of a standby, to be copied anew: they are not the service's any more."""


Making = Allocate | Seed | Restore | Copy | Discard | Configure | Relocate
Action = Making | Start | AwaitReady | Stop | Kill | FinishRestore | SetPassword | Reload


def plan(wanted: Wanted, seen: Observed) -> Action | None:
    """The next step toward ``wanted``; None when there is none, or none may be taken now."""
    if seen.instance is None:
        return Allocate()
    if is_missing_data(wanted, seen):
        return None
    if not seen.initialised:
        return Copy() if wanted.upstream is not None else Restore() if wanted.restored else Seed()
    if seen.configuration != wanted.configuration:
        return Configure()
    if seen.running is None:
        if not seen.port_free:
            return Relocate()
        return Start(wanted.restart, is_recovering(wanted, seen)) if seen.wait <= 0 else None
    return _plan_running(wanted, seen, seen.instance, seen.running)


def _plan_running(wanted: Wanted, seen: Observed, instance: Instance, running: Running) -> Action | None:
    if running.phase is Phase.STOPPING or _is_outdated(wanted, instance, running):
        return Stop()
    if running.suspended:
        return None
    if running.phase is Phase.STARTING:
        return AwaitReady()
    if not seen.answering:
        return None
    if is_recovering(wanted, seen) and seen.archived_wal:
        return FinishRestore()
    if wanted.upstream is None and seen.password_version != wanted.password_version:
        return SetPassword(wanted.password_version)
    if running.configuration != wanted.configuration:
        return Reload()
    return None


def _is_outdated(wanted: Wanted, instance: Instance, running: Running) -> bool:
    """Started with another counter or port. While it starts, its command line cannot be read for a moment."""
    if running.restart is None and running.phase is Phase.STARTING:
        return False
    if running.restart != wanted.restart or running.port != instance.port:
        return True
    return wanted.upstream is not None and running.upstream != wanted.upstream


def is_recovering(wanted: Wanted, seen: Observed) -> bool:
    """Whether it was restored, and nobody has used it yet: a password comes first, and only after its recovery."""
    return wanted.restored and wanted.upstream is None and seen.password_version is None


def is_missing_data(wanted: Wanted, seen: Observed) -> bool:
    """By our record beside it there was some, or by the store: the record may have gone with it."""
    return (seen.initialised or wanted.ran) and not seen.data


def is_ready(wanted: Wanted, seen: Observed) -> bool:
    """A client can connect, with everything that was asked for in effect."""
    running = seen.running
    return (
        plan(wanted, seen) is None
        and running is not None
        and running.phase is Phase.READY
        and not running.suspended
        and seen.answering
        and not is_missing_data(wanted, seen)
    )


def lets_clients_in(wanted: Wanted, seen: Observed) -> bool:
    """Clients can connect; what may be left to be put into effect they do not notice."""
    running = seen.running
    if running is None or running.phase is not Phase.READY or running.suspended or not seen.answering:
        return False
    return isinstance(plan(wanted, seen), Configure | Reload | None)


def serves(wanted: Wanted, seen: Observed) -> bool:
    """Clients can connect as before, though a new password waits: its tenant shut us out, renamed the role perhaps."""
    if seen.password_version is None:
        return False
    return is_ready(replace(wanted, password_version=seen.password_version), seen)


def explain(wanted: Wanted, seen: Observed) -> str | None:
    """Why it is not as it should be, in words for its user; None when nothing is wrong."""
    running = seen.running
    if is_missing_data(wanted, seen):
        if seen.initialised:
            return "data directory is missing"
        return "its data directory and all around it are missing; what its backups have can be restored"
    if running is None:
        return seen.exit
    if running.suspended:
        return f"the server process {running.pid} is suspended (SIGSTOP) and does not answer"
    if not seen.answering:
        return "the server does not answer"
    return None
