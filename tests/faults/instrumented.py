"""``howdah serve``, and as root the launcher beside it, which can kill themselves at any boundary of their work.

Run as ``python instrumented.py serve --state DIR …`` in place of ``python -m howdah``. A boundary is the moment before
each effect, found by instrumentation, so that a new action is covered by itself:

- before and after every action (every function of every module of ``engines.local.actions``), every call of the
  launcher that is no mere look, and every transaction; in the launcher before and after every verb;
- before every statement that changes the store;
- before every effect that Python's audit events tell of: files opened for writing, renamed, removed, made; processes.

Roles are ``plane``, ``launcher``, and ``root`` for what becomes the control plane once it has started the launcher.
The file ``<DIR>.boundaries/order`` says what to do, and is looked at afresh at each boundary: ``<round> <role> <at>``:
write each crossing down in ``<DIR>.boundaries/log``, and kill the process of that role at its ``at``-th (0: never).
Without that file nothing is counted.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import os
import pkgutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = ("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE", "COMMIT", "PRAGMA WAL_CHECKPOINT")
LOOKS = frozenset({"look", "pid_file", "find_servers", "exit_status", "read_log", "homes"})
EFFECTS = frozenset(
    {
        *("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"),
        *("os.chown", "os.kill", "os.posix_spawn", "os.fork", "subprocess.Popen", "shutil.rmtree"),
    }
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Boundaries:
    """What is crossed in this process. ``role``: what it calls itself in orders and in the log."""

    def __init__(self, role: str, directory: Path) -> None:
        self._role = role
        self._order = str(directory / "order")
        self._log = str(directory / "log")
        self._round = ""
        self._crossed = 0
        self._turn = threading.Lock()
        self._within = threading.local()

    def cross(self, what: str) -> None:
        if getattr(self._within, "boundary", False):
            return
        self._within.boundary = True
        try:
            with self._turn:
                self._cross(what)
        finally:
            self._within.boundary = False

    def around(self, what: str, whole: Callable[..., Any]) -> Callable[..., Any]:
        """``whole`` with a boundary on each side."""

        @functools.wraps(whole)
        def plain(*arguments: Any, **named: Any) -> Any:
            self.cross(f"before {what}")
            result = whole(*arguments, **named)
            self.cross(f"after {what}")
            return result

        @functools.wraps(whole)
        async def awaited(*arguments: Any, **named: Any) -> Any:
            self.cross(f"before {what}")
            result = await whole(*arguments, **named)
            self.cross(f"after {what}")
            return result

        return awaited if asyncio.iscoroutinefunction(whole) else plain

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """A hook for ``sys.addaudithook``."""
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or not flags & WRITING:
                return
            name = os.path.basename(os.fsdecode(path))
            if name != "null" and ".pyc" not in name:  # Python's own
                self.cross(f"open {name}")
        elif event in EFFECTS:
            self.cross(event)

    def _cross(self, what: str) -> None:
        try:
            handle = os.open(self._order, os.O_RDONLY)
        except FileNotFoundError:
            return
        order = os.read(handle, 100).decode().split()
        os.close(handle)
        if order[0] != self._round:
            self._round, self._crossed = order[0], 0
        self._crossed += 1
        handle = os.open(self._log, os.O_WRONLY | os.O_APPEND)
        os.write(handle, f"{self._round} {self._role} {self._crossed} {what}\n".encode())
        os.close(handle)
        if order[1] == self._role and int(order[2]) == self._crossed:
            os.kill(os.getpid(), signal.SIGKILL)


def instrument_control_plane(boundaries: Boundaries) -> None:
    from howdah.engines.local import actions
    from howdah.launcher.client import Launcher
    from howdah.store import store

    wrapped: dict[int, Any] = {}
    for found in pkgutil.iter_modules(actions.__path__, f"{actions.__name__}."):
        module = importlib.import_module(found.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == found.name:
                wrapped[id(function)] = boundaries.around(f"{found.name.rpartition('.')[2]}.{name}", function)
    importlib.import_module("howdah.engines.local.engine")
    for module in [module for name, module in sys.modules.items() if name.startswith("howdah.")]:
        for name, value in list(vars(module).items()):
            if id(value) in wrapped:
                setattr(module, name, wrapped[id(value)])

    connect, made = store._connect, Launcher.__init__

    def connect_and_trace(path: Path) -> Any:
        connection = connect(path)

        def trace(statement: str) -> None:
            if statement.upper().startswith(CHANGES):
                boundaries.cross(f"store {' '.join(statement.split()[:3])}")

        connection.set_trace_callback(trace)
        return connection

    def make(self: Launcher, rights: Any, call: Callable[..., Any], *more: Any, **named: Any) -> None:
        def calling(verb: str, *arguments: Any) -> Any:
            if verb in LOOKS:
                return call(verb, *arguments)
            return boundaries.around(f"launcher {verb}", call)(verb, *arguments)

        made(self, rights, calling, *more, **named)

    store._connect = connect_and_trace
    store.Store._transact = boundaries.around("transaction", store.Store._transact)
    Launcher.__init__ = make


def instrument_launcher(boundaries: Boundaries) -> None:
    from howdah.launcher.verbs import Verbs

    made = Verbs.__init__

    def make(self: Verbs, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        for name, verb in self.table.items():
            if name not in LOOKS:
                self.table[name] = boundaries.around(f"verb {name}", verb)

    Verbs.__init__ = make


def start_launcher_instrumented() -> None:
    """Have the launcher that this process starts run by this program, too."""
    from howdah.launcher import split

    spawn = split.subprocess.Popen

    def instrumented(command: list[str], **options: Any) -> Any:
        at = command.index("howdah.launcher")
        return spawn([*command[: at - 1], __file__, *command[at + 1 :]], **options)

    class Subprocess:
        Popen = staticmethod(instrumented)
        DEVNULL = split.subprocess.DEVNULL

    split.subprocess = Subprocess


def main() -> None:
    from howdah.launcher.split import is_undivided

    sys.path.pop(0)  # this directory is not to be imported from
    state = sys.argv[sys.argv.index("--state") + 1]
    directory = Path(f"{os.path.realpath(state)}.boundaries")
    launcher = sys.argv[1] != "serve"
    boundaries = Boundaries("launcher" if launcher else "root" if is_undivided() else "plane", directory)
    if launcher:
        from howdah.launcher import __main__ as program

        instrument_launcher(boundaries)
    else:
        from howdah import __main__ as program

        start_launcher_instrumented()
        instrument_control_plane(boundaries)
    sys.addaudithook(boundaries.audit)
    program.main()


if __name__ == "__main__":
    main()
