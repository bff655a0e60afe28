"""Whom the egress rules hold, and that a machine without them is no reason not to start a server."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from howdah.domain.instances import Instance
from howdah.launcher import egress
from howdah.launcher.rights import Rights


class Egress:
    """The rules for the instances of one state directory; nothing where they have no users of their own."""

    def __init__(self, state: Path, rights: Rights) -> None:
        self._owner = "o" + hashlib.sha256(os.path.realpath(state).encode(errors="surrogateescape")).hexdigest()[:12]
        self._problem = egress.missing() if rights.privileged else "started as an ordinary user"
        self._turn = threading.Lock()

    def open_router(self, ports: Sequence[int]) -> str | None:
        """Have the rules, with the router's ports. Returns why there are none, None when there are. Raises OSError."""
        if self._problem is None:
            with self._turn:
                egress.install(self._owner, ports)
        return self._problem

    def hold(self, instance: Instance) -> None:
        """Before its server starts. Raises OSError when there are rules but not for this one."""
        if instance.uid is not None and self._problem is None:
            with self._turn:
                egress.allow(self._owner, {instance.uid: instance.port})

    def release(self, instance: Instance) -> None:
        """When no process of it is left. Raises OSError."""
        if instance.uid is not None and self._problem is None:
            with self._turn:
                egress.remove([instance.uid])

    def forget(self) -> None:
        """All that is known of this state directory; nothing of it runs any more. Raises OSError."""
        if self._problem is None:
            with self._turn:
                egress.uninstall(self._owner)
