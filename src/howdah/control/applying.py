"""A change of a service, stored: its names, its tags, its size, its servers. Each inside one transaction."""

from __future__ import annotations

from datetime import timedelta
from secrets import token_urlsafe

from sqlalchemy import Connection

from howdah.control import changes
from howdah.control.acts import Act
from howdah.control.certificates import reissue
from howdah.control.clock import Clock
from howdah.control.quotas import check_quota, check_servers
from howdah.control.vault import Kind, Vault
from howdah.domain.activities import ActivityType, Deed, described_tags
from howdah.domain.catalog import Catalog, Size
from howdah.domain.errors import Conflict
from howdah.domain.ids import ServiceId
from howdah.domain.names import new_hostname
from howdah.domain.services import Service, ServiceChange
from howdah.domain.settings import Settings
from howdah.domain.states import RESTORING, HaType, ServiceState
from howdah.engines.protocol import Engine
from howdah.store import hostnames, secrets, service_changes, services
from howdah.store.services import StoredService

MAX_NAMES = 25
"""Names of one service at a time; more would make its certificate too large for clients."""


class Changes:
    def __init__(self, settings: Settings, catalog: Catalog, vault: Vault, clock: Clock, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self._catalog = catalog
        self._vault = vault
        self._clock = clock

    def apply(self, connection: Connection, stored: StoredService, change: ServiceChange, by: Act) -> bool:
        """Whether it has another name now. ``change`` has been checked by itself.

        Raises BadRequest for what cannot change, Conflict beyond a limit.
        """
        service = stored.service
        changes.check_unchanged(stored, change, self._catalog)
        self._check_servers(connection, service, change)
        if change.ha_type is not None and change.ha_type is not service.ha_type:
            self._change_ha_type(connection, service, change.ha_type, by)
        if (size := changes.new_size(service, change, self._catalog)) is not None:
            self._change_size(connection, service, size, by)
        if change.tags is not None and change.tags != service.tags:
            service_changes.set_tags(connection, service.id, change.tags)
            self._note(connection, by, service, ActivityType.SERVICE_UPDATE_TAGS, described_tags(change.tags))
        if change.name is None or change.name == service.name:
            return False
        self._rename(connection, service, change.name)
        renaming = f"name: '{service.name}' → '{change.name}'"
        self._note(connection, by, service, ActivityType.SERVICE_UPDATE_NAME, renaming)
        return True

    def _check_servers(self, connection: Connection, service: Service, change: ServiceChange) -> None:
        """Its read replicas have the same size."""
        size = changes.new_size(service, change, self._catalog) or service.size
        ha_type = service.ha_type if change.ha_type is None else change.ha_type
        others = 1 + len(services.followers_within(connection, service.id))
        now_gib = service.size.memory_gib * (service.ha_type.standbys + others)
        check_servers(connection, self._engine, size, servers=ha_type.standbys + others, now_gib=now_gib)

    def _change_ha_type(self, connection: Connection, service: Service, ha_type: HaType, by: Act) -> None:
        prepare_replication(connection, self._vault, service.id)
        service_changes.set_ha_type(connection, service.id, ha_type)
        what = f"from {service.ha_type} to {ha_type}"
        self._note(connection, by, service, ActivityType.SERVICE_UPDATE_HA_TYPE, what)

    def _change_size(self, connection: Connection, service: Service, size: Size, by: Act) -> None:
        replicas = services.followers_within(connection, service.id)
        more = (size.storage_gib - service.storage_gib) * (1 + len(replicas))
        check_quota(connection, service.organization, self._settings.quota, services=0, storage_gib=max(0, more))
        for one in (service.id, *replicas):
            service_changes.set_size(connection, one, size)
            if (stored := services.within(connection, one)) is not None:
                ask_for_restart(connection, stored)
        what = f"from {service.size.name} to {size.name}"
        self._note(connection, by, service, ActivityType.SERVICE_UPDATE_SIZE, what)

    def _rename(self, connection: Connection, service: Service, name: str) -> None:
        now, hours = self._clock(), self._settings.rename_grace_hours
        where = {"region": service.region, "provider": service.provider, "domain": self._settings.domain}
        service_changes.set_name(connection, service.id, name)
        hostnames.expire_current(connection, service.id, now + timedelta(hours=hours))
        hostnames.remove_expired(connection, service.id, now)
        hostnames.add(connection, service.id, new_hostname(name=name, service=service.id, **where))
        if len(hostnames.within(connection, service.id)) > MAX_NAMES:
            raise Conflict(
                f"name cannot change: the last {MAX_NAMES - 1} hostnames still work, each for"
                f" {hours:g} hours after its rename; try again when one has ended"
            )
        reissue(connection, self._vault, service.id, now)

    def _note(self, connection: Connection, by: Act, service: Service, type: ActivityType, what: str) -> None:
        by.note(connection, service.organization, self._clock(), Deed(type, what, service.id))


def prepare_replication(connection: Connection, vault: Vault, id: ServiceId) -> None:
    """See to it that a service has a password with which standbys come to it; inside a transaction."""
    if Kind.REPLICATION_PASSWORD not in secrets.within(connection, id):
        secrets.put(connection, id, vault.seal(id, {Kind.REPLICATION_PASSWORD: token_urlsafe(32)}))


def ask_for_restart(connection: Connection, stored: StoredService) -> bool:
    """Once more than what is under way at most; whether it is one more. Inside a transaction."""
    service, more = stored.service, stored.restart - stored.restart_seen < 2
    if more:
        service_changes.set_restart(connection, service.id, stored.restart + 1)
    if service.state not in (ServiceState.CREATING, *RESTORING):
        service_changes.set_state(connection, service.id, ServiceState.RESTARTING)
    return more
