"""``howdah serve``: the control plane with its API, in the foreground."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from howdah.cli.memory import give_back_memory, lasting
from howdah.cli.options import ConfigOption, StateOption
from howdah.cli.output import fail, note
from howdah.cli.settings import settings_for
from howdah.domain.settings import Settings

if TYPE_CHECKING:
    from howdah.domain.drills import DrillJournal
    from howdah.domain.instances import InstanceRegistry
    from howdah.engines.protocol import Engine
    from howdah.launcher.client import Launcher

BLOCKING_CALLS = 32
"""How many blocking calls may wait at a time, so that a slow deletion keeps no start from its thread."""


def serve(
    state: StateOption = None,
    config: ConfigOption = None,
    api_port: Annotated[
        int | None, typer.Option(help="Port of the API; 0: any free one. Default 8686.", show_default=False)
    ] = None,
    postgres_port: Annotated[
        int | None,
        typer.Option(help="Port for Postgres clients; 0: any free one. Default 5432.", show_default=False),
    ] = None,
) -> None:
    """Run a server in the foreground. The first start makes an organization and an admin key.

    Ctrl-C or SIGTERM ends the control plane alone: services and their connections go on, and the next start takes
    them over. To stop everything: howdah stop.
    """
    from howdah.cli.config import environment_of
    from howdah.engines.local.allocation import number_range
    from howdah.launcher.capabilities import check_capabilities
    from howdah.launcher.layout import layout
    from howdah.launcher.protections import check_required
    from howdah.launcher.rights import is_divided
    from howdah.launcher.split import divide, is_undivided, join

    settings = settings_for(state, config, api__port=api_port, router__port=postgres_port)
    uids = number_range(settings.postgres.uids, "postgres.uids")
    if not is_divided():
        check_required(settings.postgres.require, settings.state)
    if is_undivided():
        check_capabilities()
        places = layout(settings, privileged=True)
        divide(places, uids, settings.domain, _arguments(settings), environment_of(settings))
    _run(settings, join(uids))


def _run(settings: Settings, launcher: Launcher | None) -> None:
    """The control plane in this process. Its libraries are imported here: as root a start ends in ``divide``, and what
    it had imported would be imported a second time by what it becomes."""
    with lasting():
        import uvloop

        from howdah.cli.logs import set_up_logs

    give_back_memory()
    set_up_logs()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, launcher))
    except asyncio.CancelledError:
        fail("stopped before it was ready")


def _arguments(settings: Settings) -> list[str]:
    """What ``ps`` shows of a server; all the other settings come by its environment."""
    ports = ["--api-port", str(settings.api.port), "--postgres-port", str(settings.router.port)]
    return ["serve", "--state", str(settings.state), *ports]


async def _serve(settings: Settings, launcher: Launcher | None) -> None:
    with lasting():
        from howdah.api.app import create_app
        from howdah.cli.banner import api_url, banner, farewell
        from howdah.cli.listening import HttpServer, listen
        from howdah.cli.tls import open_tls
        from howdah.control.plane import ControlPlane
        from howdah.engines.local.engine import LocalEngine
        from howdah.readiness import say_ready

    _refuse_a_second(settings)
    tls = open_tls(settings)
    listener = listen(settings.api)
    settings = replace(settings, api=replace(settings.api, port=listener.getsockname()[1]))
    # Threads that wait for a disk or a child process; asyncio's own default is few on a small machine.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(BLOCKING_CALLS, thread_name_prefix="blocking"))
    this = asyncio.current_task()
    assert this is not None
    _on_signals(this.cancel)
    if launcher is not None:
        launcher.on_end(_end_with_the_launcher)

    def make_engine(registry: InstanceRegistry, journal: DrillJournal) -> Engine:
        return LocalEngine(settings, registry, journal=journal, launcher=launcher, progress=note)

    async with ControlPlane(settings, make_engine, host=launcher) as plane:
        server = HttpServer(create_app(plane), tls and tls.context)
        _on_signals(server.stop)
        plane.announce(api_url(settings))
        note(banner(plane))
        say_ready()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(tls.watch()) if tls is not None else None
            await server.serve(sockets=[listener])
            if watching is not None:
                watching.cancel()
        note(farewell(plane))


def _end_with_the_launcher() -> None:
    """At once, as if killed: nothing can be done to any instance, and a new start repairs what is half done."""
    note("the launcher, Howdah's process with root's rights, has ended, and this one ends with it; start it again")
    os._exit(1)


def _on_signals(react: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, react)


def _refuse_a_second(settings: Settings) -> None:
    """Says who serves the state directory, before a taken port would hide that."""
    from howdah.control.lock import hold
    from howdah.control.paths import lock_file

    if lock_file(settings.state).exists():
        with hold(lock_file(settings.state)):
            pass
