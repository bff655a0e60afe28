"""The launcher as the control plane calls it: in this process, or as the root process beside it.

Calls block, most of them for well under a millisecond; those that copy, start or delete belong on a thread.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from howdah.domain.errors import SetupError
from howdah.domain.instances import Instance
from howdah.launcher.layout import Layout
from howdah.launcher.limits import Limits
from howdah.launcher.look import Look
from howdah.launcher.processes import ProcessFacts
from howdah.launcher.removal import Home
from howdah.launcher.rights import Rights
from howdah.launcher.servers import Started
from howdah.launcher.verbs import Verbs
from howdah.launcher.wire import receive, send

HOSTS = Path("/etc/hosts")


class LauncherEndedError(SetupError):
    """The root process is gone, and with it all that it alone may do."""


class Launcher:
    """``rights``: as whom instances run. Every method raises OSError when the system refuses, LauncherEndedError, and
    ValueError for what the launcher refuses. What they do: ``verbs.py``."""

    def __init__(self, rights: Rights, call: Callable[..., Any], control: socket.socket | None = None) -> None:
        self.rights = rights
        self._call = call
        self._control = control

    @staticmethod
    def in_process(layout: Layout, rights: Rights) -> Launcher:
        """With the rights of this process."""
        table = Verbs(layout, rights, HOSTS).table

        def call(verb: str, *arguments: object) -> Any:
            return table[verb](*arguments)

        return Launcher(rights, call)

    @staticmethod
    def beside(control: socket.socket, rights: Rights) -> Launcher:
        """As the process at the other end of ``control``."""
        return Launcher(rights, _Connections(control), control)

    def on_end(self, react: Callable[[], None]) -> None:
        """Have the running loop call ``react`` when the process beside this one ends."""
        if self._control is not None:
            asyncio.get_running_loop().add_reader(self._control, react)

    def look(self, instance: Instance, watched: int | None) -> Look:
        found = self._call("look", instance, watched)
        if isinstance(found, Look):
            return found
        return Look(**found | {"server": _facts(found["server"])})

    def pid_file(self, instance: Instance) -> bytes:
        return self._call("pid_file", instance)

    def shut_down_at(self, instance: Instance) -> int | None:
        return self._call("shut_down_at", instance)

    def last_ran(self, instance: Instance) -> tuple[bool, int] | None:
        found = self._call("last_ran", instance)
        return None if found is None else (bool(found[0]), int(found[1]))

    def read_wal(self, instance: Instance, number: int, offset: int, most: int) -> tuple[str, bytes] | None:
        found = self._call("read_wal", instance, number, offset, most)
        return None if found is None else (str(found[0]), bytes(found[1]))

    def write_wal(self, instance: Instance, name: str, offset: int, content: bytes) -> None:
        self._call("write_wal", instance, name, offset, content)

    def find_servers(self, instances: Sequence[Instance]) -> list[tuple[Instance, Started]]:
        found = self._call("find_servers", instances)
        return [(instance, Started(pid, started)) for instance, pid, started in found]

    def hold_again(self, instances: Sequence[Instance], peers: Sequence[Sequence[int]]) -> None:
        self._call("hold_again", instances, peers)

    def exit_status(self, pid: int) -> int | None:
        return self._call("exit_status", pid)

    def read_log(self, instance: Instance) -> tuple[bytes, bytes]:
        logged, printed = self._call("read_log", instance)
        return logged, printed

    def homes(self) -> list[Home]:
        return [home if isinstance(home, Home) else Home(**home) for home in self._call("homes")]

    def prepare(self, instance: Instance) -> bool:
        return self._call("prepare", instance)

    def place(self, instance: Instance, clone: str | None, version: str) -> None:
        self._call("place", instance, clone, version)

    def configure(self, instance: Instance, files: Mapping[str, bytes]) -> None:
        self._call("configure", instance, dict(files))

    def note(self, instance: Instance, applied: bytes) -> None:
        self._call("note", instance, applied)

    def start(
        self,
        instance: Instance,
        version: str,
        settings: Sequence[str],
        *,
        environment: Mapping[str, str],
        limits: Limits,
        storage_gib: int,
        recovering: bool = False,
        standby: bytes | None = None,
        peers: Sequence[int] = (),
    ) -> Started:
        confining = asdict(limits), storage_gib
        role = recovering, standby, peers
        started = self._call("start", instance, version, settings, dict(environment), *confining, *role)
        return started if isinstance(started, Started) else Started(**started)

    def forget_recovery(self, instance: Instance) -> None:
        self._call("forget_recovery", instance)

    def discard_data(self, instance: Instance) -> None:
        self._call("discard_data", instance)

    def set_aside(self, instance: Instance, *, aside: bool) -> bool:
        return self._call("set_aside", instance, aside)

    def signal(self, instance: Instance, process: Started, number: int) -> None:
        self._call("signal", instance, process.pid, process.started, int(number))

    def kill_all(self, instance: Instance) -> bool:
        return self._call("kill_all", instance)

    def delete(self, instance: Instance) -> None:
        self._call("delete", instance)

    def delete_leftover(self, home: Home) -> None:
        self._call("delete_leftover", home.service, home.name)

    def remove_empty(self, service: str) -> None:
        self._call("remove_empty", service)

    def tidy_sockets(self) -> list[str]:
        return self._call("tidy_sockets")

    def open_router(self, ports: Sequence[int]) -> str | None:
        return self._call("open_router", list(ports))

    def keep_hosts(self, address: str, names: Sequence[str]) -> None:
        self._call("keep_hosts", address, list(names))


class _Connections:
    """A connection per calling thread, so that a long call keeps no other one waiting."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._local = threading.local()

    def __call__(self, verb: str, *arguments: object) -> Any:
        try:
            connection = self._connection()
            send(connection, [verb, *arguments])
            answer = receive(connection)
        except (ConnectionError, EOFError):
            raise LauncherEndedError(
                "the launcher, Howdah's process with root's rights, has ended; start howdah again"
            ) from None
        return _result(answer)

    def _connection(self) -> socket.socket:
        if (known := getattr(self._local, "connection", None)) is not None:
            return known
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [b"\0"], [theirs.fileno()])
        self._local.connection = ours
        return ours


def _result(answer: dict[str, Any]) -> Any:
    match answer:
        case {"result": result}:
            return result
        case {"errno": int(number), "said": str(said)}:
            # With a number it becomes the class that this stands for: FileNotFoundError and the like.
            raise OSError(number, said) if number else OSError(said)
        case _:
            raise ValueError(str(answer.get("refused", answer)))


def _facts(server: dict[str, Any] | None) -> ProcessFacts | None:
    if server is None:
        return None
    facts: dict[str, Any] = server | {"arguments": tuple(server["arguments"])}
    return ProcessFacts(**facts)
