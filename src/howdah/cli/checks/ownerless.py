"""What an older store that was put back does not know: what belongs to nothing, and who is the primary."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from howdah.cli.checks.finding import Finding, fail, warn
from howdah.cli.processes import Server, servers
from howdah.cli.state import by_root
from howdah.control.paths import store_file
from howdah.domain.settings import Settings
from howdah.domain.states import ServiceState
from howdah.launcher.layout import TRASH
from howdah.launcher.processes import inspect_process
from howdah.launcher.rights import SYSTEM_USER

if TYPE_CHECKING:
    from howdah.store.services import StoredService

_MOST = 10
"""Timelines that are named."""


def check_ownerless(settings: Settings) -> Iterator[Finding]:
    """Nothing where there is no store yet. What is found is never deleted by Howdah: a person has to decide."""
    from howdah.store import deleted, services
    from howdah.store.instances import StoredInstances
    from howdah.store.store import Store

    if not store_file(settings.state).exists():
        return
    with Store(store_file(settings.state)) as store:
        instances = {instance.id.ubid for instance in StoredInstances(store).all()}
        timelines = {timeline.ubid for timeline in services.timelines(store)}
        timelines |= {one.timeline.ubid for one in deleted.everyone(store)}
        unconfirmed = [one for its in services.ids(store) if (one := services.find(store, its)) and one.unconfirmed]
    yield from _roles(unconfirmed)
    yield from _homes(settings.state, instances)
    yield from _timelines(settings, timelines)


def _roles(unconfirmed: list[StoredService]) -> Iterator[Finding]:
    for service in (one.service for one in unconfirmed):
        if service.state is ServiceState.UNAVAILABLE and service.state_reason is not None:
            advice = f"howdah services members {service.id} shows them; the reason says what can be done"
            yield fail("roles", f"{service.id}: {service.state_reason}", advice)


def _homes(state: Path, known: set[str]) -> Iterator[Finding]:
    running = {server.data.parent.name: server for server in servers(state)}
    for home in sorted(state.glob("services/*/*")):
        if home.name in known or home.name.startswith(TRASH) or not (home / "conf" / "initialised.json").exists():
            continue
        what = f"{home} has data of {home.parent.name} that the store does not know"
        if (server := running.get(home.name)) is None:
            advice = f"Postgres starts on {home / 'data'}; when nobody needs it: rm -r {home}"
            yield warn("unknown data", f"{what}; its server does not run", advice)
        else:
            advice = f"copy them into a service: {_dump(server)}; then: kill -INT {server.pid}; rm -r {home}"
            yield warn("unknown data", f"{what}; its server runs (pid {server.pid})", advice)


def _dump(server: Server) -> str:
    """The command that writes all that it holds."""
    from howdah.engines.local.configuration import started_with

    facts = inspect_process(server.pid)
    if facts is None:
        return "pg_dumpall"
    said, programs = started_with(facts.arguments), Path(facts.executable).parent
    command = [
        *(("runuser", "-u", SYSTEM_USER, "--") if by_root() else ()),
        *("env", f"LD_LIBRARY_PATH={programs.parent / 'lib'}", str(programs / "pg_dumpall")),
        *(f"--host={said.get('unix_socket_directories', '')}", f"--port={said.get('port', '')}"),
        "--username=postgres",
    ]
    return shlex.join(command)


def _timelines(settings: Settings, known: set[str]) -> Iterator[Finding]:
    from howdah.backup.archive import open_archive
    from howdah.backup.objects import S3
    from howdah.domain.errors import HowdahError

    where = settings.backup.archive or str(settings.state / "archive")
    # The key of a store may be known to the server alone.
    there = _has_key(settings) if where.startswith(S3) else Path(where).is_dir()
    if not settings.backup.enabled or not there:
        return
    try:
        found = open_archive(settings.backup, settings.state).timelines()
    except HowdahError as error:
        yield warn("archive", f"it cannot be looked into: {error}", "see backup.archive in the configuration")
        return
    strange = sorted(one.ubid for one in found if one.ubid not in known)
    if strange:
        named = ", ".join(strange[:_MOST]) + (", …" if len(strange) > _MOST else "")
        advice = (
            f"howdah restore --archive {shlex.quote(where)} --timeline ID DIR makes a data directory of one; its"
            " timeline.json says whose it was. Delete what nobody needs"
        )
        what = "service" if len(strange) == 1 else "services"
        yield warn("archive", f"backups of {len(strange)} {what} that the store does not know: {named}", advice)


def _has_key(settings: Settings) -> bool:
    return bool(settings.backup.s3_access_key or os.environ.get("AWS_ACCESS_KEY_ID"))
