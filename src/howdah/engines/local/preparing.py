"""What the local engine works with, made ready: directories, programs, templates."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Callable, Sequence
from functools import partial

from howdah.domain.errors import SetupError
from howdah.domain.ids import ServiceId
from howdah.domain.instances import Instance, InstanceRegistry
from howdah.domain.settings import Settings
from howdah.domain.states import PostgresVersion
from howdah.engines.local.allocation import Allocation, number_range
from howdah.engines.local.binaries import Binaries, Progress, ensure_binaries
from howdah.engines.local.directories import make_directories
from howdah.engines.local.last_words import last_words
from howdah.engines.local.machine import Machine
from howdah.engines.local.pool import Pool
from howdah.engines.local.room import is_full
from howdah.engines.local.template import ensure_template
from howdah.engines.local.watch import Watch
from howdah.launcher.client import Launcher
from howdah.launcher.layout import layout
from howdah.launcher.rights import Rights


async def prepare(
    settings: Settings,
    registry: InstanceRegistry,
    launcher: Launcher | None,
    *,
    versions: Sequence[PostgresVersion],
    progress: Progress,
    changed: Callable[[ServiceId], None],
) -> Machine:
    """``launcher``: None: what this process may do itself. ``progress``: told about long steps. ``changed``: called
    with a service to whose server something has happened. Raises SetupError when this machine lacks something."""
    postgres = settings.postgres
    uids = number_range(postgres.uids, "postgres.uids")
    rights = launcher.rights if launcher is not None else Rights.in_process(uids)
    places = layout(settings, privileged=rights.privileged)
    verbs = launcher or Launcher.in_process(places, rights)
    await asyncio.to_thread(make_directories, places, rights)
    binaries: dict[PostgresVersion, Binaries] = {}
    pools: dict[PostgresVersion, Pool] = {}
    for version in versions:
        programs = await asyncio.to_thread(ensure_binaries, version, places.binaries, progress)
        template = await asyncio.to_thread(ensure_template, programs, places.templates, progress)
        binaries[version] = programs
        pools[version] = Pool(places.pool / template.data.name, template, size=postgres.pool)
    ports = number_range(postgres.ports, "postgres.ports")

    def said(instance: Instance, ran: float) -> str | None:
        return last_words(*verbs.read_log(instance), ran)

    return Machine(
        layout=places,
        registry=registry,
        launcher=verbs,
        allocation=Allocation(registry, places, ports=ports, uids=uids if rights.privileged else None),
        watch=Watch(lambda one: changed(one.service), verbs.exit_status, said, partial(is_full, places)),
        operator=_operator(),
        profile=postgres.profile,
        binaries=binaries,
        pools=pools,
    )


def _operator() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise SetupError(
            f"the user id {os.geteuid()} has no name in the system's user database, which Postgres needs;"
            " add one (useradd) or run as another user"
        ) from None
