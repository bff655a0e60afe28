"""Certificates of services: issued at create, again at rename, before they run out, and when a name expires."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection

from howdah.control.clock import Clock
from howdah.control.vault import Kind, Vault
from howdah.domain.errors import HowdahError
from howdah.domain.ids import ServiceId
from howdah.domain.names import with_read_only
from howdah.domain.states import ServiceState
from howdah.security import certificates
from howdah.security.certificates import Leaf, Root
from howdah.store import hostnames, secrets, service_changes, services
from howdah.store.store import Store

LONGEST_SLEEP_SECONDS = 60.0

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Issued:
    """What a new service starts with: the bundle of its roots, its certificate, and the keys of all by kind."""

    ca_certificates: str
    leaf: Leaf
    keys: dict[Kind, str]


def issue_first(service: ServiceId, hostname: str, now: datetime) -> Issued:
    """Roots and a certificate for a new service, and for its read-only name, since it may get standbys later. Takes a
    millisecond of CPU."""
    roots = certificates.new_roots(service.ubid, now)
    leaf = certificates.issue(roots, service=service.ubid, hostnames=with_read_only([hostname]), now=now)
    keys = {
        Kind.FIRST_ROOT_KEY: roots[0].key,
        Kind.SECOND_ROOT_KEY: roots[1].key,
        Kind.CERTIFICATE_KEY: leaf.key,
    }
    return Issued(certificates.bundle(roots), leaf, keys)


def reissue(connection: Connection, vault: Vault, service: ServiceId, now: datetime) -> None:
    """A new certificate, with a new key, for the names that the service has now, and the read-only name of each.
    Inside a transaction."""
    stored = services.within(connection, service)
    if stored is None:
        return
    roots = _roots(stored.ca_certificates, service, secrets.within(connection, service), vault)
    names = with_read_only(hostnames.within(connection, service))
    leaf = certificates.issue(roots, service=service.ubid, hostnames=names, now=now)
    service_changes.set_certificate(connection, service, leaf.chain, leaf.renew_at)
    secrets.put(connection, service, vault.seal(service, {Kind.CERTIFICATE_KEY: leaf.key}))


def _roots(ca_certificates: str, service: ServiceId, sealed: dict[str, bytes], vault: Vault) -> Sequence[Root]:
    kinds = (Kind.FIRST_ROOT_KEY, Kind.SECOND_ROOT_KEY)
    return [
        Root(certificate, vault.open(service, kind, sealed[kind]))
        for certificate, kind in zip(certificates.unbundle(ca_certificates), kinds, strict=True)
    ]


class CertificateSchedule:
    """Renews what is due and takes expired names away."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        clock: Clock,
        *,
        publish: Callable[[ServiceId], Awaitable[None]],
        wake: Callable[[ServiceId], None],
    ) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._publish = publish
        self._wake = wake
        self._changed = asyncio.Event()

    def look_again(self) -> None:
        """A name has got an end: it may be the next one."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._changed.clear()
            try:
                seconds = self._seconds_to_next() if await self.catch_up() else LONGEST_SLEEP_SECONDS
            except HowdahError as error:
                seconds = LONGEST_SLEEP_SECONDS
                log.error("certificates could not be looked after", reason=str(error))
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def catch_up(self) -> bool:
        """Does what is due now; whether all of it could be done."""
        now = self._clock()
        # One that is to last longer than a new one was made while the clock was ahead, and is not valid yet.
        latest = now + certificates.RENEW_AFTER + certificates.BACKDATED
        due = {*hostnames.with_expired(self._store, now), *services.due_for_renewal(self._store, now, latest=latest)}
        done = [await self._replace(service, now) for service in due]
        return all(done)

    async def _replace(self, service: ServiceId, now: datetime) -> bool:
        try:
            await self._store.write(lambda connection: self._renew(connection, service, now))
            self._wake(service)
            await self._publish(service)
        except HowdahError as error:
            log.error("certificate could not be renewed", service=service.ubid, reason=str(error))
            return False
        return True

    def _renew(self, connection: Connection, service: ServiceId, now: datetime) -> None:
        hostnames.remove_expired(connection, service, now)
        stored = services.within(connection, service)
        if stored is None or stored.service.state is ServiceState.DELETING:
            return
        reissue(connection, self._vault, service, now)
        log.info("certificate renewed", service=service.ubid)

    def _seconds_to_next(self) -> float:
        next_end = hostnames.next_expiry(self._store)
        if next_end is None:
            return LONGEST_SLEEP_SECONDS
        return min(LONGEST_SLEEP_SECONDS, max(0.05, (next_end - self._clock()).total_seconds()))
