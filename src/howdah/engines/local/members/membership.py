"""Who belongs to a service, and what each of its servers is told of the others. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from howdah.domain.ids import InstanceId
from howdah.domain.instances import Instance, Role
from howdah.domain.services import ServiceSpec
from howdah.domain.states import HaType
from howdah.engines.local.configuration import UPSTREAM
from howdah.launcher.layout import InstancePaths

ROLE = "howdah_replication"
"""As whom standbys come to the primary."""

_ANSWERS_SECONDS = 5


def slot_of(identifier: InstanceId) -> str:
    """The name of a standby: of its replication slot, and by which the primary knows it."""
    return f"howdah_{identifier.ubid}"


@dataclass(frozen=True, slots=True)
class Membership:
    """``instances``: of the service, the primary first where there is one. ``upstream``: those of the service that it
    follows. ``up``: standbys that let clients in."""

    instances: tuple[Instance, ...]
    upstream: tuple[Instance, ...] = ()
    up: frozenset[InstanceId] = frozenset()

    @property
    def primary(self) -> Instance | None:
        return next((one for one in self.instances if one.role is Role.PRIMARY), None)

    @property
    def standbys(self) -> tuple[Instance, ...]:
        return tuple(one for one in self.instances if one.role is Role.STANDBY)

    def others(self, instance: Instance) -> list[Instance]:
        return sorted((one for one in self.instances if one.id != instance.id), key=lambda one: one.id.ubid)

    def sources(self, instance: Instance) -> list[Instance]:
        """From which servers a standby may receive: whichever of them is the primary."""
        return sorted(self.upstream, key=lambda one: one.id.ubid) or self.others(instance)

    def follows(self, instance: Instance) -> str | None:
        """Names whom a standby follows; None for the primary of a service that follows nobody."""
        if not self.upstream and instance.role is Role.PRIMARY:
            return None
        return ",".join(str(one.port) for one in self.sources(instance))

    def settings(self, spec: ServiceSpec, instance: Instance) -> dict[str, str]:
        """What its configuration file says of the others."""
        others = self.others(instance)
        if not others:
            return {}
        # Before it is noted that commits wait, and until it is noted that they do not.
        comes = spec.ha_type is HaType.SYNC and any(one.joined and one.id in self.up for one in self.standbys)
        waited = comes or (self.primary is not None and self.primary.waits)
        names = ", ".join(f'"{slot_of(one.id)}"' for one in others)
        up = sorted(slot_of(one.id) for one in self.standbys if one.joined and one.id in self.up)
        is_primary = instance.role is Role.PRIMARY
        return {
            "synchronous_standby_names": f"ANY 1 ({names})" if waited else "",
            # Those that are up: one that is not would keep all logical decoding waiting.
            "synchronized_standby_slots": ", ".join(up) if is_primary else "",
            # For a standby that comes back to another primary, which had no slot for it meanwhile.
            "wal_keep_size": "128MB",
        }


def standby_arguments(membership: Membership, instance: Instance, paths: InstancePaths) -> dict[str, str]:
    """Added to the command line of a standby. It finds the primary by itself, whichever of the others that is."""
    sources = membership.sources(instance)
    member = not membership.upstream
    connection = {
        "host": ",".join("127.0.0.1" for _ in sources),
        "port": ",".join(str(one.port) for one in sources),
        "user": ROLE,
        "dbname": "postgres",
        "passfile": str(paths.replication_password),
        "sslmode": "require",
        # Whoever else may listen on such a port meanwhile does not know the password, and so is not believed.
        "channel_binding": "require",
        "require_auth": "scram-sha-256",
        "gssencmode": "disable",
        "target_session_attrs": "primary",
        "connect_timeout": str(_ANSWERS_SECONDS),
        "application_name": slot_of(instance.id),
    }
    return {
        "primary_conninfo": " ".join(f"{name}={_quoted(value)}" for name, value in connection.items()),
        "primary_slot_name": slot_of(instance.id),
        "hot_standby": "on",
        "hot_standby_feedback": "on",
        # Slots of logical replication are there after a failover. A read replica is promoted to something else.
        "sync_replication_slots": "on" if member else "off",
        # Tablespaces of its primary lie in its own data directory.
        "allow_in_place_tablespaces": "on",
        UPSTREAM: membership.follows(instance) or "",
        "recovery_target_timeline": "latest",
        "wal_retrieve_retry_interval": "50ms",
        "wal_receiver_status_interval": "1s",
    }


def peers(membership: Membership, instance: Instance) -> Sequence[int]:
    """The ports of other servers that it may connect to."""
    return sorted({one.port for one in (*membership.others(instance), *membership.upstream)})


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
