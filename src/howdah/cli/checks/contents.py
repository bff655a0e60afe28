"""What the state directory holds: the store, certificates, and the processes that should be alive."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from howdah.cli.checks.finding import Finding, fail, ok, warn
from howdah.cli.processes import control_plane, router_ports, servers
from howdah.control.paths import bootstrap_file, secrets_key_file, store_file
from howdah.domain.settings import Settings

SOON = timedelta(days=7)


def check_contents(settings: Settings) -> Iterator[Finding]:
    file = store_file(settings.state)
    try:
        there = file.exists()
    except PermissionError:
        yield fail("store", f"{file} belongs to another user", "be the one who runs the server (sudo?)")
        return
    if not there:
        yield ok("store", f"none in {settings.state} yet; howdah serve makes it")
        return
    yield _store(file)
    yield from _private(settings.state)
    yield from _certificates(settings.state)
    yield from _memory(settings)
    yield from _processes(settings.state)


def _store(file: Path) -> Finding:
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5) as store:
            said = [row[0] for row in store.execute("PRAGMA quick_check(3)")]
            count = store.execute("SELECT count(*) FROM services").fetchone()[0]
    except sqlite3.Error as error:
        return fail("store", f"{file} cannot be read: {error}", "put a backup of it in its place")
    if said != ["ok"]:
        return fail("store", f"{file} is damaged: {'; '.join(said)}", "put a backup of it in its place")
    return ok("store", f"sound; {count} {'service' if count == 1 else 'services'}")


def _private(state: Path) -> Iterator[Finding]:
    for file in (store_file(state), secrets_key_file(state), bootstrap_file(state)):
        if file.exists() and file.stat().st_mode & 0o077:
            yield fail("secrets", f"others can read {file}", f"chmod 600 {file}")


def _certificates(state: Path) -> Iterator[Finding]:
    from cryptography import x509

    expiring: list[str] = []
    count = 0
    for file in state.glob("services/*/*/tls/*"):
        content = file.read_bytes()
        if b"BEGIN CERTIFICATE" not in content:
            continue
        leaf = x509.load_pem_x509_certificates(content)[0]
        count += 1
        if leaf.not_valid_after_utc - datetime.now(UTC) < SOON:
            expiring.append(f"{file.parent.parent.parent.name} ({leaf.not_valid_after_utc:%Y-%m-%d})")
    if expiring:
        advice = "a running server renews them in time: see that howdah serve runs, and its log"
        yield fail("certificates", f"expire within {SOON.days} days: {', '.join(expiring)}", advice)
    elif count:
        yield ok("certificates", f"{count} in use, none expires within {SOON.days} days")


def _memory(settings: Settings) -> Iterator[Finding]:
    from howdah.engines.local.memory import available_gib
    from howdah.store.memory import memory
    from howdah.store.store import Store

    if (total := available_gib(settings.postgres)) is None:
        return
    with Store(store_file(settings.state)) as store:
        found = memory(store, total)
    said = f"servers have {found.used_gib} of the {total} GiB that they may have"
    if found.used_gib > total:
        yield fail("memory", said, "choose smaller sizes, delete services, or raise postgres.memory_gib")
    else:
        yield ok("memory", said)


def _processes(state: Path) -> Iterator[Finding]:
    from howdah.store.services import ids
    from howdah.store.store import Store

    with Store(store_file(state)) as store:
        wanted = {service.ubid for service in ids(store)}
    running = {server.service for server in servers(state)}
    plane = control_plane(state)
    if plane is None and (wanted or running):
        advice = "howdah serve; until then services run, but nothing watches over them"
        yield warn("control plane", "it does not run", advice)
    if wanted - running:
        missing = ", ".join(sorted(wanted - running)[:5])
        advice = "howdah services get shows their state" if plane else "howdah serve starts them"
        yield (fail if plane else warn)("servers", f"{len(wanted - running)} do not run: {missing}", advice)
    elif wanted:
        yield ok("servers", f"all {len(wanted)} run")
    if ports := router_ports(state):
        yield ok("router", f"alive, on port {ports[0]}")
    elif running:
        yield fail("router", "it does not run, so no client gets in", "howdah serve starts it")
