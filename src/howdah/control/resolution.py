"""Whether names below the domain resolve on this machine, and what is done when they do not.

``*.localhost`` does not resolve everywhere. As root, a block of /etc/hosts then holds the hostnames of the services;
otherwise connection strings carry ``hostaddr``.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Iterable

import structlog

from howdah.control.host import Host

PROBE_SECONDS = 3.0

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


async def resolves(domain: str) -> bool:
    """Whether a random name of a service's form below ``domain`` has an address."""
    name = f"probe-{secrets.token_hex(4)}.c0.pg.{domain}"
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return bool(await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM))
    except (OSError, TimeoutError):
        return False


class Resolution:
    """How clients on this machine find the router. ``hostaddr``: what connection strings must say, or None."""

    def __init__(self, *, domain: str, address: str, host: Host | None) -> None:
        """``host``: keeps names in the system's hosts file; None: nobody may."""
        self.hostaddr: str | None = None
        self._domain = domain
        self._address = address
        self._host = host
        self._managed = False

    async def start(self) -> None:
        """Probes, and begins to manage the block when that is needed and possible."""
        if await resolves(self._domain):
            return
        if self._host is not None:
            self._managed = True
            log.info("names do not resolve here; they are kept in the hosts file", domain=self._domain)
        else:
            self.hostaddr = self._address
            log.warning("names do not resolve here; connection strings carry hostaddr", domain=self._domain)

    def keep(self, names: Iterable[str]) -> None:
        """Makes exactly these names resolve; as long as that fails, ``hostaddr`` is set. Blocking; called for each new
        route table."""
        if self._host is None or not self._managed:
            return
        try:
            self._host.keep_hosts(self._address, list(names))
        except OSError as error:
            if self.hostaddr is None:
                log.warning("the hosts file cannot be written; connection strings carry hostaddr", reason=str(error))
            self.hostaddr = self._address
        else:
            self.hostaddr = None


def client_address(addresses: tuple[str, ...]) -> str:
    """Where a client on this machine reaches a server that listens on ``addresses``."""
    first = next((address for address in addresses if ":" not in address), addresses[0])
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(first, first)
