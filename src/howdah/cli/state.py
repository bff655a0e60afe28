"""The state directory as commands meet it: where it is, whose server runs in it, the credentials that lie in it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from howdah.control.environment import read_environment
from howdah.control.paths import bootstrap_file, store_file
from howdah.domain.errors import SetupError
from howdah.launcher.rights import is_divided


def by_root() -> bool:
    """Whether root started this, though it may be the system user by now."""
    return os.geteuid() == 0 or is_divided()


def default_state(environ: Mapping[str, str], *, root: bool) -> Path:
    """Where the state lies when nothing else is said."""
    if root:
        return Path("/var/lib/howdah")
    if (base := environ.get("XDG_STATE_HOME")) and Path(base).is_absolute():
        return Path(base) / "howdah"
    return Path(environ.get("HOME") or Path.home()) / ".local" / "state" / "howdah"


def state_directory(given: Path | None) -> Path:
    """The directory that the option, HOWDAH_STATE or the default names, as an absolute path."""
    named = given or os.environ.get("HOWDAH_STATE") or default_state(os.environ, root=by_root())
    return Path(named).expanduser().absolute()


def program() -> str:
    """How this program is called, for sentences that say what to type."""
    called = sys.argv[0]
    if called.endswith("__main__.py"):
        return "python -m howdah"
    return "howdah" if shutil.which("howdah") else called


def serve_command(state: Path) -> str:
    """How a server is started in ``state``, for sentences that say so."""
    if state == default_state(os.environ, root=by_root()):
        return f"{program()} serve"
    return f"{program()} serve --state {shlex.quote(str(state))}"


def read_credentials(state: Path) -> dict[str, str]:
    """API_URL, ORG_ID, KEY_ID and KEY_SECRET of the first start. Raises SetupError when they cannot be read."""
    file = bootstrap_file(state)
    try:
        there = file.exists()
    except PermissionError:
        there = True
    if not there:
        raise SetupError(f"no Howdah was ever started in {state}; start it: {serve_command(state)}")
    if not os.access(file, os.R_OK):
        raise SetupError(f"{file} may be read by the user who runs the server only; be that user (sudo?)")
    return read_environment(file)


def require_store(state: Path) -> None:
    """Raises SetupError when ``state`` has no store yet, so that no command makes one by mistake."""
    try:
        there = store_file(state).exists()
    except PermissionError:
        there = True
    if not there:
        raise SetupError(f"no Howdah was ever started in {state}; start it: {serve_command(state)}")
    if not os.access(store_file(state), os.R_OK | os.W_OK):
        raise SetupError(
            f"{store_file(state)} cannot be written: it belongs to another user (be the one who runs the server, sudo?)"
            " or its file system is read-only"
        )
