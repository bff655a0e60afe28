"""The router's process: found running and adopted, or started; watched, and started again when it dies.

It is detached and survives the control plane, so that no client loses its connection when that one goes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import structlog

from howdah import __version__
from howdah.control.paths import log_directory, router_directory, router_port_file, routes_file
from howdah.domain.errors import SetupError
from howdah.domain.routes import FORMAT_VERSION
from howdah.domain.settings import RouterSettings
from howdah.launcher.processes import state_of
from howdah.router.handover import leave_command

START_SECONDS = 15.0
POLL_SECONDS = 0.01
FIRST_BACK_OFF_SECONDS = 0.1
LONGEST_BACK_OFF_SECONDS = 10.0
STEADY_SECONDS = 10.0
"""A router that ran this long did not fail at its start."""

INHERITED = ("PATH", "PYTHONPATH", "LANG", "TZ")
"""What the router gets of our environment: it faces the network, and a shell's may hold a key's secret."""

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RouterStatus:
    """What a router says of itself once it listens. ``table``: the newest version of route tables that it reads."""

    pid: int
    port: int
    version: object
    table: object
    started_at: object


class RouterProcess:
    """``port``: where clients reach the router now, or will when it is back."""

    def __init__(self, state: Path, settings: RouterSettings, opened: Callable[[int], None]) -> None:
        """``opened``: told the port whenever a router listens."""
        self.problem: str | None = "it has not started yet"
        self._settings = settings
        self._opened = opened
        self._routes = routes_file(state)
        self._directory = router_directory(state)
        self._status_file = self._directory / "status.json"
        self._port_file = router_port_file(state)
        self._log_file = log_directory(state) / "router.log"
        self._pid = 0
        self._child: subprocess.Popen[bytes] | None = None
        self.port = self._remembered_port()

    async def start(self) -> None:
        """Adopts or starts it. Raises SetupError when it does not listen in time."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._log_file.parent.mkdir(mode=0o700, exist_ok=True)
        self._take(await self._adopt() or await self._launch())

    async def watch(self) -> None:
        """Starts it again whenever it ends, until cancelled."""
        back_off = FIRST_BACK_OFF_SECONDS
        while True:
            since = asyncio.get_running_loop().time()
            await self._ended()
            if asyncio.get_running_loop().time() - since > STEADY_SECONDS:
                back_off = FIRST_BACK_OFF_SECONDS
            self.problem = "it ended and is being started again"
            log.warning("router ended", pid=self._pid)
            try:
                self._take(await self._adopt() or await self._launch())
            except SetupError as error:
                self.problem = str(error)
                log.error("router does not start", reason=str(error), again_after=back_off)
                await asyncio.sleep(back_off)
                back_off = min(back_off * 2, LONGEST_BACK_OFF_SECONDS)

    def _take(self, running: RouterStatus) -> None:
        asked = self._settings.port
        if asked not in (0, running.port):
            log.warning("the router's port was taken; it listens on another", asked=asked, port=running.port)
        self._pid = running.pid
        self.port = running.port
        self.problem = None
        self._opened(running.port)
        self._remember_port(asked)

    def _remember_port(self, asked: int) -> None:
        aside = self._port_file.with_suffix(".new")
        try:
            aside.write_text(json.dumps({"asked": asked, "port": self.port}))
            aside.replace(self._port_file)
        except OSError as error:
            log.warning("the router's port cannot be remembered for the next start", reason=error.strerror)

    def _remembered_port(self) -> int:
        """The port of the last run, so that connection strings stay true, unless another is asked for now."""
        last = _read_json(self._port_file)
        if last.get("asked") == self._settings.port and isinstance(last.get("port"), int):
            return last["port"]
        return self._settings.port

    def _running(self) -> RouterStatus | None:
        """What the router of this state directory says, if it runs: its process is asked, not its file alone."""
        status = _read_json(self._status_file)
        pid, port = status.get("pid"), status.get("port")
        if not isinstance(pid, int) or not isinstance(port, int) or not self._is_router(pid):
            return None
        return RouterStatus(pid, port, status.get("version"), status.get("table"), status.get("started_at"))

    def _is_router(self, pid: int) -> bool:
        arguments = _arguments(pid)
        return "howdah.router" in arguments and str(self._status_file) in arguments

    def _is_anywhere(self) -> bool:
        return any(self._is_router(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdecimal())

    async def _adopt(self) -> RouterStatus | None:
        """A router that runs already, though it may only be starting; of this version and with these settings."""
        if not self._is_anywhere():
            return None
        running = await self._listening(lambda: not self._is_anywhere())
        if running is not None and self._is_outdated(running):
            running = await self._renew(running)
        if running is not None:
            log.info("router adopted", pid=running.pid, port=running.port)
        return running

    def _is_outdated(self, running: RouterStatus) -> bool:
        arguments = _arguments(running.pid)
        addresses = tuple(value for option, value in itertools.pairwise(arguments) if option == "--address")
        workers = dict(itertools.pairwise(arguments)).get("--workers", "1")
        asked = (self._settings.addresses, self.port or running.port, str(self._settings.workers))
        if asked != (addresses, running.port, workers):
            return True
        return (__version__, FORMAT_VERSION) != (running.version, running.table)

    async def _renew(self, running: RouterStatus) -> RouterStatus | None:
        """It goes on in a new program, with all connections. One that cannot stays as it is."""
        try:
            leave_command(self._status_file, self.command())
            os.kill(running.pid, signal.SIGHUP)
        except OSError as error:
            log.warning("the router stays what it was", version=running.version, reason=str(error))
            return running
        renewed = await self._listening(lambda: _has_ended(running.pid), other_than=running)
        if renewed is None and not _has_ended(running.pid):
            log.warning("the router stays what it was", version=running.version, reason=f"see {self._log_file}")
            return running
        return renewed

    async def _listening(
        self, ended: Callable[[], bool], other_than: RouterStatus | None = None
    ) -> RouterStatus | None:
        """Its status once it listens; None when it ended or took too long."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while (running := self._running()) is None or running == other_than:
            if ended() or asyncio.get_running_loop().time() > deadline:
                return None
            await asyncio.sleep(POLL_SECONDS)
        return running

    async def _launch(self) -> RouterStatus:
        try:
            child = self._child = await asyncio.to_thread(self._spawn)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SetupError(f"the router cannot be started: {error}") from error
        running = await self._listening(lambda: child.poll() is not None)
        if running is None:
            if child.poll() is None:
                child.kill()
            status = await asyncio.to_thread(child.wait)
            raise SetupError(f"the router did not begin to listen (exit status {status}); see {self._log_file}")
        log.info("router started", pid=running.pid, port=running.port)
        return running

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._status_file.unlink(missing_ok=True)
        with self._log_file.open("ab") as output:
            return subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
                env={name: os.environ[name] for name in INHERITED if name in os.environ},
            )

    def command(self) -> list[str]:
        """What runs the router."""
        addresses = [part for address in self._settings.addresses for part in ("--address", address)]
        return [
            *(sys.executable, "-m", "howdah.router", "--routes", str(self._routes), *addresses),
            *("--port", str(self.port), "--status-file", str(self._status_file)),
            *("--workers", str(self._settings.workers)),
        ]

    async def _ended(self) -> None:
        """Returns when the process is no more, or never was."""
        if self._pid == 0:
            return
        try:
            descriptor = os.pidfd_open(self._pid)
        except ProcessLookupError:
            return
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        loop.add_reader(descriptor, lambda: ended.done() or ended.set_result(None))
        try:
            if self._is_router(self._pid):
                await ended
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        if self._child is not None and self._child.pid == self._pid:
            self._child.poll()


def _has_ended(pid: int) -> bool:
    """Asked of a process that may be executing another program, whose command line is empty for a moment."""
    return state_of(pid) in (None, "Z", "X")


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}
