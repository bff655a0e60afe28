"""Instances of the local engine: which Postgres servers exist, on which ports, as which OS users, and in which role."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from howdah.domain.failovers import RoleChange
from howdah.domain.ids import InstanceId, ServiceId


class Role(StrEnum):
    """What an instance is to be. Its server is told so at each start; nothing that a tenant can write decides it."""

    PRIMARY = "primary"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class Instance:
    """One Postgres server. ``port``: its TCP port on loopback. ``uid``: its OS user; None when Howdah's own is used.

    joined: of a standby: its data belong to the service's history, so that it may acknowledge commits and become the
    primary. It is noted before its server starts, and taken back only when that has been fenced.
    waits: of a primary: its commits wait for a standby, and have done so since this was noted. ahead: of a primary
    whose commits wait: it took over, and may have commits that no standby has received since.
    """

    id: InstanceId
    service: ServiceId
    port: int
    uid: int | None
    role: Role = Role.PRIMARY
    joined: bool = False
    waits: bool = False
    ahead: bool = False


class InstanceRegistry(Protocol):
    """Where instances are remembered. A port and a uid belong to one instance at most; a service has one primary at
    most."""

    def of(self, service: ServiceId) -> tuple[Instance, ...]:
        """The primary first."""
        ...

    def all(self) -> tuple[Instance, ...]: ...

    async def put(self, *instances: Instance) -> None:
        """Store each, or replace the one with its id; all or none. Raises Conflict when a port or uid is another's."""
        ...

    async def change_roles(self, former: Instance, new: Instance, change: RoleChange) -> None:
        """Store both, the former primary as a standby and the new one as the primary, and what is known of why: all of
        it or nothing."""
        ...

    async def complete(self, change: RoleChange) -> None:
        """Replace the record of a change of roles by one that knows more."""
        ...

    def newest_change(self, service: ServiceId) -> RoleChange | None:
        """Of its primary."""
        ...

    def count_changes(self, service: ServiceId) -> int:
        """How often its primary has changed."""
        ...

    async def remove(self, instance: InstanceId) -> None: ...
