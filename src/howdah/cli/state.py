"""The state directory as commands meet it: where it is, whose server runs in it, the credentials that lie in it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from howdah.control.environment import read_environment
from howdah.control.paths import api_authority_file, bootstrap_file, store_file
from howdah.domain.errors import SetupError
from howdah.launcher.rights import is_divided, system_user

AUTHORITY = "API_CA_FILE"
"""The variable that names a CA to be trusted for the API, beside those of the system."""


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


def act_as_owner(state: Path) -> None:
    """As root, become the user whose files these are, for good and before any is opened: what that user puts in the
    place of one is then opened with no more rights than its own."""
    if os.geteuid() != 0:
        return
    directory, user = os.stat(state), system_user()
    store = os.lstat(store_file(state)) if os.path.lexists(store_file(state)) else directory
    if user is not None and user.pw_gid == directory.st_gid:
        uid, gid = user.pw_uid, user.pw_gid
    else:
        uid, gid = store.st_uid, store.st_gid
    if uid != 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)


def read_credentials(state: Path) -> dict[str, str]:
    """API_URL, ORG_ID, KEY_ID and KEY_SECRET of the first start. Raises SetupError when they cannot be read."""
    file = bootstrap_file(state)
    try:
        there = file.exists()
    except PermissionError:
        there = True
    if not there and store_file(state).exists():
        raise SetupError(
            f"{file} is gone, and the secret of its key with it: make another (howdah keys create) and set API_URL,"
            " ORG_ID, KEY_ID and KEY_SECRET"
        )
    if not there:
        raise SetupError(f"no Howdah was ever started in {state}; start it: {serve_command(state)}")
    if not os.access(file, os.R_OK):
        raise SetupError(f"{file} may be read by the user who runs the server only; be that user (sudo?)")
    return read_environment(file)


def authority_of(state: Path) -> Path | None:
    """The CA of the certificate that the API of this state directory made for itself, if it did."""
    file = api_authority_file(state)
    return file if file.exists() else None


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


def own_store(state: Path) -> None:
    """Be the store's owner, for commands that open it. Raises SetupError when there is none, or it is another's."""
    if state.is_dir():
        act_as_owner(state)
    require_store(state)
