"""Commands on the servers of a service: who of them is the primary, and read replicas."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from howdah.control.acts import BY_SYSTEM, Act
from howdah.control.applying import prepare_replication
from howdah.control.clock import Clock
from howdah.control.services import Services
from howdah.control.vault import Kind, Vault
from howdah.domain.activities import ActivityType, Deed, described
from howdah.domain.errors import BadRequest, Conflict, NotFound, Unavailable
from howdah.domain.failovers import RoleChange
from howdah.domain.ids import ServiceId
from howdah.domain.members import MemberStatus
from howdah.domain.names import check_name
from howdah.domain.services import Service
from howdah.domain.states import HaType, ServiceState
from howdah.domain.tags import Tag, check_tags
from howdah.engines.protocol import Engine
from howdah.store import role_changes, secrets, service_changes, services
from howdah.store.services import StoredService
from howdah.store.store import Store

MAX_REPLICAS = 5
"""Read replicas of one service, as upstream."""

SHOWN_CHANGES = 100
"""Changes of a primary that are shown, the newest."""

SWITCHOVER_SECONDS = 20.0
"""How long a change of the primary may take before it is given up."""


class Members:
    """The servers of organizations' services. A service of another organization is NotFound everywhere."""

    def __init__(self, store: Store, vault: Vault, clock: Clock, engine: Engine, owner: Services) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._engine = engine
        self._services = owner

    async def list(self, organization: UUID, id: ServiceId) -> list[MemberStatus]:
        """The primary first. Raises NotFound."""
        stored = self._services.stored(organization, id)
        return await self._engine.members(id, stored.follows)

    def changes(self, organization: UUID, id: ServiceId) -> Sequence[RoleChange]:
        """Changes of its primary, the newest first. Raises NotFound."""
        self._services.stored(organization, id)
        return role_changes.newest(self._store, id, SHOWN_CHANGES)

    async def switch_over(self, organization: UUID, id: ServiceId, by: Act = BY_SYSTEM) -> Service:
        """Another server is the primary when this returns. Raises BadRequest, NotFound; Unavailable when none could
        take over in time: then nothing has changed."""

        def write(connection: Connection) -> int:
            stored = self._services.commanded(connection, organization, id)
            if stored.service.ha_type is HaType.NONE:
                raise BadRequest(
                    "command switchover needs high availability, and the haType of this service is none;"
                    " PATCH it to async or sync first"
                )
            number = role_changes.count_within(connection, id) + 1
            service_changes.set_switchover(connection, id, number)
            what = "another server is to become the primary"
            self._services.note(connection, by, stored.service, ActivityType.SERVICE_SWITCHOVER, what)
            return number

        number = await self._store.write(write)
        self._services.wake(id)
        done = await self._services.takes_effect(
            id, lambda status: status.ready and self._has_changed(id, number), seconds=SWITCHOVER_SECONDS
        )
        if not done and not self._has_changed(id, number):
            await self._store.write(lambda connection: service_changes.set_switchover(connection, id, 0))
            raise Unavailable(
                f"no standby could take over within {SWITCHOVER_SECONDS:.0f} s{self._why(organization, id)};"
                " nothing was changed"
            )
        return self._services.get(organization, id)

    async def accept_loss(self, organization: UUID, id: ServiceId, by: Act = BY_SYSTEM) -> Service:
        """Have a failover happen though commits that were acknowledged may be lost by it, if nothing else brings the
        service back; after an older store was put back, go on as that says where nobody knows who is the primary.
        Raises BadRequest, NotFound, Conflict while the service has a primary."""

        by_now = self._services.get(organization, id)

        def write(connection: Connection) -> None:
            stored = self._services.commanded(connection, organization, id)
            service = stored.service
            if service.ha_type is HaType.NONE and not stored.unconfirmed:
                raise BadRequest("a failover needs standbys, and the haType of this service is none")
            if service.state is not ServiceState.UNAVAILABLE and not stored.unconfirmed:
                raise Conflict(
                    f"the service is {service.state}: it has a primary; to make another server the primary, use the"
                    " command switchover"
                )
            service_changes.set_accept_loss(connection, id, role_changes.count_within(connection, id) + 1)
            what = "a standby may take over though commits are lost"
            if stored.unconfirmed:
                what = "it may go on as an older store says, though commits are lost"
            self._services.note(connection, by, service, ActivityType.SERVICE_ACCEPT_DATA_LOSS, what)
            by.keep(connection, by_now)

        await self._store.write(write)
        self._services.wake(id)
        return self._services.get(organization, id)

    async def add_replica(
        self,
        organization: UUID,
        id: ServiceId,
        *,
        name: str,
        tags: Sequence[Tag] | None = None,
        by: Act = BY_SYSTEM,
    ) -> Service:
        """A new service that follows ``id`` and can be read. Raises BadRequest naming the field, NotFound."""
        checked = check_name(name)
        given = None if tags is None else check_tags(tags)
        with self._store.snapshot():
            source = self._alive(organization, id)
            sealed = secrets.of(self._store, id)
        password, verifier = (
            self._vault.open(id, kind, sealed[kind]) for kind in (Kind.PASSWORD, Kind.PASSWORD_VERIFIER)
        )
        primary = source.service
        making, state = self._services.making, ServiceState.CREATING
        replica = making.like(primary, name=checked, tags=given, state=state, is_primary=False, password=password)

        def check(connection: Connection) -> None:
            now = self._services.commanded(connection, organization, id)
            if now.follows is not None:
                raise BadRequest(f"{id} is a read replica itself; make one of its primary, {now.follows}")
            if len(services.followers_within(connection, id)) >= MAX_REPLICAS:
                raise BadRequest(f"the service {id} has {MAX_REPLICAS} read replicas, which is the most there can be")
            prepare_replication(connection, self._vault, id)

        deed = Deed(ActivityType.SERVICE_CREATE_READ_REPLICA, f"{described(replica)}, of {id}", replica.id)
        made = await self._services.add(replica, verifier, by=by, deed=deed, follows=id, condition=check)
        self._services.wake(id)
        return made

    async def promote(self, organization: UUID, id: ServiceId, by: Act = BY_SYSTEM) -> Service:
        """A read replica becomes a service like any other; its primary goes on. Raises BadRequest, NotFound."""

        def write(connection: Connection) -> ServiceId:
            stored = self._services.commanded(connection, organization, id)
            if stored.follows is None:
                raise BadRequest("command promote is for read replicas only, and this service is a primary")
            if stored.service.state is ServiceState.CREATING:
                raise BadRequest("command promote needs the data of its primary, and the replica is still being made")
            service_changes.set_independent(connection, id)
            what = f"from a read replica of {stored.follows}"
            self._services.note(connection, by, stored.service, ActivityType.SERVICE_PROMOTE, what)
            service_changes.set_state(connection, id, ServiceState.RESTARTING)
            return stored.follows

        followed = await self._store.write(write)
        await self._services.follow(id)
        self._services.wake(followed)
        return self._services.get(organization, id)

    def _has_changed(self, id: ServiceId, number: int) -> bool:
        return role_changes.count(self._store, id) >= number

    def _why(self, organization: UUID, id: ServiceId) -> str:
        with contextlib.suppress(NotFound):
            reason = self._services.stored(organization, id).service.state_reason
            return f" ({reason})" if reason else ""
        return ""

    def _alive(self, organization: UUID, id: ServiceId) -> StoredService:
        stored = self._services.stored(organization, id)
        if stored.service.state is ServiceState.DELETING:
            raise NotFound(f"there is no Postgres service {id}")
        return stored
