"""What holds each server to its share: all that this machine offers, and no start fails because it offers little.

Where there is a means it is used, and then failing to use it is an error: a server never starts half confined.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from howdah.domain.instances import Instance
from howdah.launcher import cgroups, egress, quota
from howdah.launcher.limits import Limits, prefix
from howdah.launcher.rights import Rights

_log = logging.getLogger(__name__)


class Confinement:
    """Of the servers of one state directory. Egress rules, control groups and quotas are for servers that have OS users
    of their own."""

    def __init__(self, state: Path, rights: Rights) -> None:
        self._state = state
        self._privileged = rights.privileged
        self._owner = "o" + hashlib.sha256(os.path.realpath(state).encode(errors="surrogateescape")).hexdigest()[:12]
        self._no_egress = egress.missing() if rights.privileged else "started as an ordinary user"
        self._has_quotas = rights.privileged and quota.missing(state) is None
        self._group = _own_group() if rights.privileged else None
        self._router_ports: Sequence[int] = ()
        self._turn = threading.Lock()

    def open_router(self, ports: Sequence[int]) -> str | None:
        """Have the egress rules, with the router's ports. Why there are none, None when there are. Raises OSError."""
        if self._no_egress is None:
            with self._turn:
                egress.install(self._owner, ports)
                self._router_ports = ports
        return self._no_egress

    def hold(self, instance: Instance, limits: Limits, storage_gib: int, peers: Sequence[int] = ()) -> list[str]:
        """Before its server starts: what begins the command that starts it. ``peers``: ports of other servers that it
        may connect to. Raises OSError."""
        command = prefix(limits)
        if instance.uid is None:
            return command
        if self._no_egress is None:
            with self._turn:
                egress.allow(self._owner, {instance.uid: (instance.port, *peers)}, self._router_ports)
        if self._has_quotas:
            quota.limit(self._state, instance.uid, storage_gib)
        if self._group is not None:
            command = [*cgroups.prefix(cgroups.make(self._group, instance.id.ubid, limits)), *command]
        return command

    def hold_again(self, instances: Sequence[Instance], peers: Sequence[Sequence[int]]) -> None:
        """Those that run already, with the ``peers`` of each: the reload of a firewall removes the rules of everybody.
        Raises OSError."""
        ports = {
            instance.uid: (instance.port, *its)
            for instance, its in zip(instances, peers, strict=True)
            if instance.uid is not None
        }
        if self._no_egress is None and ports:
            with self._turn:
                egress.allow(self._owner, ports, self._router_ports)

    def kill(self, instance: Instance) -> None:
        """Every process in its control group at once, where it has one; nothing can fork away from that."""
        if self._group is not None:
            cgroups.kill(self._group / instance.id.ubid)

    def release(self, instance: Instance) -> None:
        """When no process of it is left. Raises OSError."""
        if instance.uid is None:
            return
        if self._no_egress is None:
            with self._turn:
                egress.remove([instance.uid])
        if self._has_quotas:
            quota.lift(self._state, instance.uid)
        if self._group is not None:
            cgroups.remove(self._group / instance.id.ubid)

    def forget(self) -> None:
        """All rules of this state directory; nothing of it runs any more. Raises OSError."""
        if self._no_egress is None:
            with self._turn:
                egress.uninstall(self._owner)


def _own_group() -> Path | None:
    """Where servers get control groups; None where they cannot, also when the system says so only when asked."""
    try:
        return cgroups.prepare() if cgroups.missing() is None else None
    except OSError as error:
        _log.warning("servers get no control groups: %s", error)
        return None
