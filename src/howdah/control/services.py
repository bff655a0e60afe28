"""Commands on services. Each stores what is wanted in one transaction, wakes the reconciler, publishes the route and
returns; only a password and a new name are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import structlog
from sqlalchemy import Connection

from howdah.control import changes
from howdah.control.acts import BY_SYSTEM, Act
from howdah.control.applying import Changes, ask_for_restart, prepare_replication
from howdah.control.certificates import CertificateSchedule, issue_first
from howdah.control.clock import Clock
from howdah.control.effects import Reached
from howdah.control.making import Making
from howdah.control.publisher import Publisher
from howdah.control.quotas import check_quota, check_servers
from howdah.control.reconciler import Reconciler
from howdah.control.vault import Kind, Vault
from howdah.domain.activities import ActivityType, Deed, described
from howdah.domain.backups import RestoreSource
from howdah.domain.catalog import Catalog
from howdah.domain.errors import BadRequest, Conflict, NotFound, Unavailable
from howdah.domain.ids import ServiceId, TimelineId
from howdah.domain.passwords import check_password, generate_password
from howdah.domain.services import NewService, Service, ServiceChange, ServiceStatus
from howdah.domain.settings import Settings
from howdah.domain.states import HaType, ServiceState
from howdah.domain.tags import PROTECTED, Tag, is_protected
from howdah.engines.protocol import Engine
from howdah.security.scram import verifier
from howdah.store import hostnames, organizations, secrets, service_changes, services
from howdah.store.services import StoredService
from howdah.store.store import Store

PASSWORD_SECONDS = 10.0
"""How long ``set_password`` waits for the password to be in effect, as the contract says."""

NAME_SECONDS = 5.0
"""How long a rename waits for the certificate of the new name, so that sslmode=verify-full works when it returns."""

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Services:
    """The services of organizations. A service of another organization is NotFound everywhere."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        store: Store,
        vault: Vault,
        clock: Clock,
        publisher: Publisher,
        reconciler: Reconciler,
        schedule: CertificateSchedule,
        engine: Engine,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._store = store
        self._vault = vault
        self._clock = clock
        self._publisher = publisher
        self._reconciler = reconciler
        self._schedule = schedule
        self._engine = engine
        self._changes = Changes(settings, catalog, vault, clock, engine)
        self.making = Making(settings, catalog, clock)

    async def create(self, organization: UUID, new: NewService, by: Act = BY_SYSTEM) -> Service:
        """Raises BadRequest naming the field, NotFound for an unknown organization, Conflict beyond its quota
        or the machine's memory, Unavailable."""
        if organizations.find(self._store, organization) is None:
            raise NotFound(f"there is no organization {organization}")
        service = self.making.asked_for(organization, new)
        deed = Deed(ActivityType.SERVICE_CREATE, described(service), service.id)
        return await self.add(service, await asyncio.to_thread(verifier, service.password), by=by, deed=deed)

    async def add(
        self,
        service: Service,
        password_verifier: str,
        source: RestoreSource | None = None,
        *,
        by: Act,
        deed: Deed,
        follows: ServiceId | None = None,
        condition: Callable[[Connection], None] | None = None,
    ) -> Service:
        """One that has been checked, with its password. ``follows``: the service whose read replica it is.
        ``condition``: called in the transaction that stores it; raises when it must not be added after all.

        Raises Conflict beyond the quota or the machine's memory, Unavailable, and what ``condition`` raises.
        """
        issued = await asyncio.to_thread(issue_first, service.id, service.hostname, service.created_at)
        stored = StoredService(
            service=service,
            ca_certificates=issued.ca_certificates,
            certificate=issued.leaf.chain,
            renew_at=issued.leaf.renew_at,
            restart=0,
            restart_seen=0,
            password_version=1,
            endpoint=None,
            timeline=TimelineId.new(),
            source=source,
            follows=follows,
        )
        passwords = {Kind.PASSWORD: service.password, Kind.PASSWORD_VERIFIER: password_verifier}

        def write(connection: Connection) -> None:
            if condition is not None:
                condition(connection)
            check_quota(
                connection, service.organization, self._settings.quota, services=1, storage_gib=service.storage_gib
            )
            check_servers(connection, self._engine, service.size, servers=1 + service.ha_type.standbys)
            service_changes.add(connection, stored)
            hostnames.add(connection, service.id, service.hostname)
            secrets.put(connection, service.id, self._vault.seal(service.id, issued.keys | passwords))
            if service.ha_type is not HaType.NONE:
                prepare_replication(connection, self._vault, service.id)
            by.note(connection, service.organization, service.created_at, deed)
            by.keep(connection, service)

        await self._store.write(write)
        await self.follow(service.id)
        return service

    def get(self, organization: UUID, id: ServiceId) -> Service:
        """The service with its password. Raises NotFound."""
        found = services.visible(self._store, organization, id)
        if found is None:
            raise _not_found(id)
        service, sealed = found
        return replace(service, password=self._vault.open(id, Kind.PASSWORD, sealed))

    def list(
        self,
        organization: UUID,
        *,
        state: ServiceState | None = None,
        name: str | None = None,
        tag: Tag | None = None,
    ) -> list[Service]:
        """Those that match, oldest first, with an empty ``password``. A ``tag`` without a value matches its key."""
        return [
            service
            for service in services.of(self._store, organization)
            if (state is None or service.state is state)
            and (name is None or service.name == name)
            and (tag is None or any(tag in (own, Tag(own.key)) for own in service.tags))
        ]

    async def change(self, organization: UUID, id: ServiceId, change: ServiceChange, by: Act = BY_SYSTEM) -> Service:
        """Raises BadRequest for what is wrong or cannot change, NotFound, Unavailable."""
        change = changes.checked(change)
        await self._check_room(organization, id, change)

        def write(connection: Connection) -> bool:
            return self._changes.apply(connection, _commanded(connection, organization, id), change, by)

        renamed = await self._store.write(write)
        self._reconciler.wake(id)
        for replica in services.followers(self._store, id):
            self._reconciler.wake(replica)
        if renamed:
            self._schedule.look_again()
            if not await self.follow(id):
                raise Unavailable("the new name is stored and still being applied: it cannot be published yet")
            await self._name_in_effect(id)
        return self.get(organization, id)

    async def _check_room(self, organization: UUID, id: ServiceId, change: ServiceChange) -> None:
        """Raises BadRequest when what is stored would fill a smaller size, Unavailable when nobody knows."""
        service = self.stored(organization, id).service
        size = changes.new_size(service, change, self._catalog)
        if size is not None and size.storage_gib < service.storage_gib:
            changes.check_room(size, await self._engine.stored_bytes(id))

    async def _name_in_effect(self, id: ServiceId) -> None:
        """Waits for the newest certificate: of renames that overlap, the first one's may never be used."""

        def reached(status: ServiceStatus) -> bool:
            newest = services.find(self._store, id)
            return newest is None or status.certificate == newest.certificate

        stored = services.find(self._store, id)
        if stored is not None and stored.service.state is ServiceState.RUNNING:
            await self._reconciler.effects.wait(id, reached, seconds=NAME_SECONDS)

    async def delete(self, organization: UUID, id: ServiceId, by: Act = BY_SYSTEM) -> None:
        """Everything of the service goes; again while it goes is fine. Raises NotFound when it is gone, Conflict while
        it is protected."""

        def write(connection: Connection) -> None:
            service = _owned(connection, organization, id).service
            if replicas := services.followers_within(connection, id):
                raise Conflict(
                    f"the service {id} has {len(replicas)} dependent read replica{'s' if len(replicas) > 1 else ''}:"
                    f" {', '.join(str(one) for one in replicas)}; delete or promote them first"
                )
            if is_protected(service.tags) and service.state is not ServiceState.DELETING:
                raise Conflict(
                    f"the service {id} is protected from deletion: remove its tag {PROTECTED} (PATCH with the other"
                    " tags), then delete it"
                )
            if service.state is not ServiceState.DELETING:
                self.note(connection, by, service, ActivityType.SERVICE_DELETE, described(service))
            service_changes.set_state(connection, id, ServiceState.DELETING)

        await self._store.write(write, makes_room=True)
        self._reconciler.effects.gone(id)
        await self.follow(id)

    async def set_password(
        self, organization: UUID, id: ServiceId, password: str | None, by: Act = BY_SYSTEM
    ) -> str | None:
        """Returns the generated password when none is given, once it is in effect and the old one has stopped working.

        Raises BadRequest naming the rule, NotFound, and Unavailable when it is stored but not in effect in time.
        """
        wanted = generate_password() if password is None else check_password(password)
        password_verifier = await asyncio.to_thread(verifier, wanted)
        passwords = {Kind.PASSWORD: wanted, Kind.PASSWORD_VERIFIER: password_verifier}

        def write(connection: Connection) -> int:
            stored = _commanded(connection, organization, id)
            if stored.follows is not None:
                raise BadRequest(
                    f"the password of a read replica is that of its primary; set it there: {stored.follows}"
                )
            version = stored.password_version + 1
            service_changes.set_password_version(connection, id, version)
            for one in (id, *services.followers_within(connection, id)):
                secrets.put(connection, one, self._vault.seal(one, passwords))
            how = "a generated password" if password is None else "a given password"
            self.note(connection, by, stored.service, ActivityType.SERVICE_UPDATE_PASSWORD, how)
            return version

        version = await self._store.write(write)
        self._reconciler.wake(id)
        applied = await self._reconciler.effects.wait(
            id, lambda status: (status.password_version or 0) >= version, seconds=PASSWORD_SECONDS
        )
        if not applied:
            now = self.get(organization, id)
            if now.state is ServiceState.DELETING:
                raise _not_found(id)
            why = f" ({now.state_reason})" if now.state_reason else ""
            raise Unavailable(
                f"the password is stored and still being applied: the service is {now.state}{why}; it takes effect as"
                " soon as Postgres can be reached"
            )
        return wanted if password is None else None

    async def restart(self, organization: UUID, id: ServiceId, by: Act = BY_SYSTEM) -> Service:
        """``restarting`` at once, unless it never ran. Asked again before it is done, it is done once more at most.

        Raises NotFound.
        """

        def write(connection: Connection) -> None:
            stored = _commanded(connection, organization, id)
            if ask_for_restart(connection, stored):
                self.note(connection, by, stored.service, ActivityType.SERVICE_RESTART, "a restart")

        await self._store.write(write)
        await self.follow(id)
        return self.get(organization, id)

    def ca_certificates(self, organization: UUID, id: ServiceId) -> str:
        """The service's own roots, PEM. Raises NotFound."""
        return self.stored(organization, id).ca_certificates

    def stored(self, organization: UUID, id: ServiceId) -> StoredService:
        """Without its password. Raises NotFound."""
        stored = services.find(self._store, id)
        if stored is None or stored.service.organization != organization:
            raise _not_found(id)
        return stored

    def commanded(self, connection: Connection, organization: UUID, id: ServiceId) -> StoredService:
        """The same inside a transaction, and of a service that takes commands. Raises NotFound."""
        return _commanded(connection, organization, id)

    def wake(self, id: ServiceId) -> None:
        """Have it looked at now."""
        self._reconciler.wake(id)

    async def takes_effect(self, id: ServiceId, reached: Reached, *, seconds: float) -> bool:
        """Whether a pass sees a status that ``reached`` accepts within that time."""
        return await self._reconciler.effects.wait(id, reached, seconds=seconds)

    def note(self, connection: Connection, by: Act, service: Service, type: ActivityType, what: str) -> None:
        """Write down who did it; inside the transaction that does."""
        by.note(connection, service.organization, self._clock(), Deed(type, what, service.id))

    async def follow(self, id: ServiceId) -> bool:
        """Makes what is stored so. Whether its route is published already: when not, the command stands all the same,
        since an error would have it sent again, and the reconciler publishes it later."""
        self._reconciler.wake(id)
        try:
            await self._publisher.publish(id)
        except Unavailable as error:
            log.error("route could not be published; it is tried again", service=id.ubid, reason=str(error))
            return False
        return True


def _owned(connection: Connection, organization: UUID, id: ServiceId) -> StoredService:
    stored = services.within(connection, id)
    if stored is None or stored.service.organization != organization:
        raise _not_found(id)
    return stored


def _commanded(connection: Connection, organization: UUID, id: ServiceId) -> StoredService:
    """A service that takes commands: one that is being deleted is as good as gone."""
    stored = _owned(connection, organization, id)
    if stored.service.state is ServiceState.DELETING:
        raise _not_found(id)
    return stored


def _not_found(id: ServiceId) -> NotFound:
    return NotFound(f"there is no Postgres service {id}")
