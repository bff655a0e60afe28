"""Which port and which OS user a new instance gets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from howdah.domain.errors import Conflict, SetupError, Unavailable
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance, InstanceRegistry, Role
from howdah.engines.local.ports import port_is_free
from howdah.launcher.layout import Layout


def number_range(text: str, key: str) -> range:
    """The range that "first-last" spells. Raises SetupError naming the settings key."""
    first, _, last = text.partition("-")
    if not (first.isdigit() and last.isdigit() and 0 < int(first) <= int(last)):
        raise SetupError(f"{key} is {text!r}; it must be first-last, for example 20000-29999")
    return range(int(first), int(last) + 1)


class Allocation:
    """Hands out what no other instance has; one at a time, stored before it is used."""

    def __init__(self, registry: InstanceRegistry, layout: Layout, *, ports: range, uids: range | None) -> None:
        self._registry = registry
        self._layout = layout
        self._ports = ports
        self._uids = uids
        self._turn = asyncio.Lock()

    async def new(self, service: ServiceId, role: Role = Role.PRIMARY) -> Instance:
        """A new instance, stored. Raises Unavailable when no port or uid is left."""
        async with self._turn:
            identifier = self._identifier()
            for port in self._free_ports():
                instance = Instance(identifier, service, port, self._free_uid(), role)
                if await self._stored(instance):
                    return instance
        raise Unavailable(f"no free port is left in {self._ports.start}-{self._ports.stop - 1}")

    async def move(self, instance: Instance) -> Instance:
        """The same instance on another port, stored. Raises Unavailable when none is left."""
        async with self._turn:
            for port in self._free_ports():
                moved = replace(instance, port=port)
                if await self._stored(moved):
                    return moved
        raise Unavailable(f"no free port is left in {self._ports.start}-{self._ports.stop - 1}")

    async def _stored(self, instance: Instance) -> bool:
        try:
            await self._registry.put(instance)
        except Conflict:
            return False
        return True

    def _identifier(self) -> InstanceId:
        """An id whose socket directory is nobody else's: its name has 32 bits only."""
        while True:
            identifier = InstanceId.new()
            if not self._layout.sockets(identifier).exists():
                return identifier

    def _free_ports(self) -> Iterator[int]:
        taken = {instance.port for instance in self._registry.all()}
        return (port for port in _from_anywhere(self._ports) if port not in taken and port_is_free(port))

    def _free_uid(self) -> int | None:
        if self._uids is None:
            return None
        # Another Howdah on this machine has its own registry, but the same run directory.
        elsewhere = set(_owners(self._layout.run))
        taken = {instance.uid for instance in self._registry.all()} | elsewhere
        found = next((uid for uid in _from_anywhere(self._uids) if uid not in taken and not _is_named(uid)), None)
        if found is None:
            raise Unavailable(f"no free uid is left in {self._uids.start}-{self._uids.stop - 1}")
        return found


def _owners(directory: Path) -> Iterator[int]:
    for entry in os.scandir(directory):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile, with its instance
            yield entry.stat(follow_symlinks=False).st_uid


def _from_anywhere(numbers: range) -> Iterator[int]:
    start = random.randrange(len(numbers))  # spreads reuse; no secret
    yield from numbers[start:]
    yield from numbers[:start]


def _is_named(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
