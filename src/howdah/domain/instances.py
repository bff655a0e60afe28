"""Instances of the local engine: which Postgres servers exist, on which ports, as which OS users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from howdah.domain.ids import InstanceId, ServiceId


@dataclass(frozen=True, slots=True)
class Instance:
    """One Postgres server. ``port``: its TCP port on loopback. ``uid``: its OS user; None when Howdah's own is used."""

    id: InstanceId
    service: ServiceId
    port: int
    uid: int | None


class InstanceRegistry(Protocol):
    """Where instances are remembered. A port and a uid belong to one instance at most."""

    def of(self, service: ServiceId) -> tuple[Instance, ...]: ...

    def all(self) -> tuple[Instance, ...]: ...

    async def put(self, instance: Instance) -> None:
        """Store it, or replace the one with its id. Raises Conflict when the port or uid is another's."""
        ...

    async def remove(self, instance: InstanceId) -> None: ...
