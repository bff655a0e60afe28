"""Ports, and whether the hostnames of services resolve."""

from __future__ import annotations

import os
import secrets
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

from howdah.cli.checks.finding import Finding, fail, ok, warn
from howdah.cli.processes import abandoned_routers, control_plane, router_ports
from howdah.domain.settings import Settings


def check_ports(settings: Settings) -> Iterator[Finding]:
    yield _api_port(settings)
    yield from _router_port(settings)
    yield from _abandoned_routers()
    yield _instance_ports(settings)


def _api_port(settings: Settings) -> Finding:
    name, port = "API port", settings.api.port
    if pid := control_plane(settings.state):
        return ok(name, f"a control plane runs (pid {pid})")
    if port == 0 or can_bind(settings.api.host, port):
        return ok(name, f"{port or 'any free port'} can be used; no control plane runs")
    return fail(name, f"{port} is taken by another program", "choose another: --api-port, or api.port")


def _router_port(settings: Settings) -> Iterator[Finding]:
    name, wanted = "router port", settings.router.port
    if ports := router_ports(settings.state):
        if wanted in (0, *ports):
            yield ok(name, f"the router listens on {ports[0]}")
        else:
            advice = f"{wanted} was taken at its start, or another was asked for; to move: howdah stop, howdah serve"
            yield warn(name, f"the router listens on {ports[0]}, not on {wanted}", advice)
        return
    for address in settings.router.addresses:
        if wanted == 0 or can_bind(address, wanted):
            yield ok(name, f"{wanted or 'any free port'} on {address} can be used")
        elif ":" in address and not _has_ipv6():
            yield warn(name, f"{address}: this machine has no IPv6", "nothing; clients that try ::1 fall back")
        else:
            advice = "the router will take the next free port and connection strings carry it; free it, or router.port"
            yield warn(name, f"{wanted} on {address} cannot be used (taken, or below 1024 without root)", advice)


def _abandoned_routers() -> Iterator[Finding]:
    for state in sorted(abandoned_routers()):
        what = f"one runs whose state directory {state} has been deleted; it ends when its last client has gone"
        yield warn("abandoned router", what, f"to end it now: howdah stop --state {shlex.quote(str(state))}")


def _instance_ports(settings: Settings) -> Finding:
    name = "instance ports"
    first, last = map(int, settings.postgres.ports.split("-"))
    try:
        low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except OSError:
        return ok(name, settings.postgres.ports)
    if first <= high and low <= last:
        advice = "choose postgres.ports outside of it, else a client's own port can be in a server's way"
        return warn(name, f"{settings.postgres.ports} overlaps the ephemeral range {low}-{high}", advice)
    return ok(name, f"{settings.postgres.ports}, outside the ephemeral range {low}-{high}")


def check_names(settings: Settings) -> Iterator[Finding]:
    name = "name resolution"
    probe = f"probe-{secrets.token_hex(4)}.pg0.c0.us-west-2.aws.pg.{settings.domain}"
    try:
        found = socket.getaddrinfo(probe, None, type=socket.SOCK_STREAM)
    except OSError:
        yield _unresolved(name, settings)
        return
    yield ok(name, f"*.{settings.domain} resolves to {', '.join(sorted({str(entry[4][0]) for entry in found}))}")


def _unresolved(name: str, settings: Settings) -> Finding:
    if settings.domain != "localhost":
        return fail(
            name, f"*.{settings.domain} does not resolve", f"add a wildcard DNS record: *.{settings.domain} A <address>"
        )
    advice = "apt-get install libnss-myhostname"
    if os.geteuid() == 0:
        return warn(name, "*.localhost does not resolve; a block in /etc/hosts holds the names of services", advice)
    return warn(name, "*.localhost does not resolve; connection strings carry hostaddr", advice)


def can_bind(address: str, port: int) -> bool:
    """Whether a listener could be had there now."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _has_ipv6() -> bool:
    return can_bind("::1", 0)
