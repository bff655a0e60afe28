"""A start as root divides in two: the launcher, which stays root and does little, and the rest, which is the system
user from here on. Nothing that faces the network runs as root."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from howdah.domain.errors import SetupError
from howdah.launcher.client import Launcher
from howdah.launcher.commands import run
from howdah.launcher.layout import Layout, closed_ancestor
from howdah.launcher.rights import SOCKET, SYSTEM_USER, Rights, becoming, is_divided, system_user

CACHE = Path("/var/cache")
KEPT = ("PATH", "PYTHONPATH", "PYTHONUNBUFFERED", "LANG", "TZ", "TERM", "COLUMNS", "NO_COLOR", "NOTIFY_SOCKET")
KEPT_FOR_DOWNLOADS = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "http_proxy", "https_proxy", "no_proxy")
KEPT_PREFIXES = ("PIP_",)
_OWN = {"postgres": 0o755, "templates": 0o755, "pool": 0o711, "router": 0o700, "log": 0o700}
"""What in the state directory the system user owns, beside the files that it makes there itself."""


def is_undivided() -> bool:
    """Whether this process is root and has not been divided yet."""
    return os.geteuid() == 0 and not is_divided()


def divide(layout: Layout, uids: range, domain: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Start the launcher, then become ``howdah <arguments>`` as the system user, in this same process.

    ``domain``: that of all hostnames. ``environment``: of the new program, beside what it needs of ours. Does not
    return. Raises SetupError.
    """
    _open_standard_streams()
    user = require_system_user()
    rights = Rights(True, user.pw_uid, user.pw_gid, uids)
    check_program()
    try:
        prepare(layout, rights)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        _spawn(layout, rights, domain, theirs)
        theirs.close()
        _keep_files_of_root()
        ours.set_inheritable(True)
        kept = {SOCKET: str(ours.fileno()), "HOME": str(layout.state), "XDG_CACHE_HOME": str(CACHE)}
        kept |= _kept() | dict(environment)
        command = [*becoming(user.pw_uid, user.pw_gid), _python(), *_program(), *arguments]
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os.execve(command[0], command, kept)
    except OSError as error:
        raise SetupError(f"Howdah cannot be started as {SYSTEM_USER}: {error}") from None


def _open_standard_streams() -> None:
    """Those that our caller has closed: a socket of ours must not become somebody's output."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)


def _keep_files_of_root() -> None:
    """What a shell of root's left open for its children may be more than the system user is allowed to open."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # That by which they are listed is closed by now.
            if int(name) > 2:
                os.set_inheritable(int(name), False)


def join(uids: range) -> Launcher | None:
    """The launcher beside this process; None when this one was not divided from one."""
    if not is_divided():
        return None
    control = socket.socket(fileno=int(os.environ[SOCKET]))
    control.set_inheritable(False)
    return Launcher.beside(control, Rights(True, os.geteuid(), os.getegid(), uids))


def prepare(layout: Layout, rights: Rights) -> None:
    """Directories and their owners. In the state directory the system user makes files of its own, but cannot put
    anything in the place of what is ours: it is sticky. Raises OSError, SetupError."""
    for directory in (layout.state, layout.binaries, layout.templates):
        if (closed := closed_ancestor(directory)) is not None:
            raise SetupError(
                f"{directory} cannot be reached by the users that servers run as: {closed} is closed to others;"
                f" choose another state directory, or: chmod o+x {closed}"
            )
    layout.state.mkdir(parents=True, exist_ok=True, mode=0o711)
    if os.stat(layout.state).st_gid != rights.group:
        _take_over(layout, rights)
    for directory in (layout.services, layout.run):
        directory.mkdir(exist_ok=True, mode=0o711)
        _own(directory, 0, rights.group, 0o751)
    modes = {layout.state / name: mode for name, mode in _OWN.items()}
    for directory, mode in {layout.binaries: 0o755, layout.templates: 0o755, **modes}.items():
        if not directory.exists():
            directory.mkdir(parents=True)
            _own(directory, rights.operator, rights.group, mode)
    cache = CACHE / "howdah"
    cache.mkdir(parents=True, exist_ok=True)
    _own(cache, rights.operator, rights.group, 0o755)
    _own(layout.state, 0, rights.group, 0o1771)


def _take_over(layout: Layout, rights: Rights) -> None:
    """A state directory that the system user has no part in yet: what root made in it before is handed over."""
    for entry in layout.state.iterdir():
        if entry != layout.services and not entry.is_symlink():
            run(["chown", "-hR", f"{rights.operator}:{rights.group}", str(entry)], limit=600)


def _own(directory: Path, uid: int, gid: int, mode: int) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(handle, uid, gid)
        os.fchmod(handle, mode)
    finally:
        os.close(handle)


def require_system_user() -> pwd.struct_passwd:
    """Makes it when there is none. As root. Raises SetupError."""
    if (user := system_user()) is not None:
        return user
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", SYSTEM_USER]
    done = run(command, limit=60)
    if (user := system_user()) is None:
        raise SetupError(
            f"the system user '{SYSTEM_USER}' is missing and useradd failed: {done.stderr.strip()}; create it with:"
            f" {' '.join(command)}"
        )
    return user


def _program() -> list[str]:
    """How this program was started, so that it goes on under the same name."""
    return ["-m", "howdah"] if sys.argv[0].endswith("__main__.py") else [_without_links(sys.argv[0])]


def _python() -> str:
    """This environment's, by a path that others can follow: a link to the environment may lie where they cannot."""
    return _without_links(sys.executable)


def _without_links(program: str) -> str:
    return str(Path(program).parent.resolve() / Path(program).name)


def check_program() -> None:
    """Raises SetupError when the system user could not run this program."""
    for path in (Path(_python()), Path(sys.executable).resolve(), Path(__file__).resolve()):
        closed = closed_ancestor(path.parent)
        if closed is None and not os.stat(path).st_mode & stat.S_IROTH:
            closed = path
        if closed is not None:
            raise SetupError(
                f"started as root Howdah does its work as the user '{SYSTEM_USER}', who cannot read {path}: {closed}"
                " is closed to others; install Howdah with a Python that all users can run"
            )
    if run([_python(), "-I", "-c", "import howdah.launcher"], limit=60).returncode != 0:
        raise SetupError(
            f"started as root Howdah must be installed in its Python; {_python()} finds it by PYTHONPATH or the working"
            " directory alone, which a process with root's rights does not follow: pip install it"
        )


def _spawn(layout: Layout, rights: Rights, domain: str, control: socket.socket) -> None:
    paths = {"state": layout.state, "run": layout.run, "binaries": layout.binaries, "templates": layout.templates}
    numbers = {"operator": rights.operator, "group": rights.group, "socket": control.fileno()}
    options = [part for name, value in (paths | numbers).items() for part in (f"--{name}", str(value))]
    subprocess.Popen(
        [
            *(_python(), "-I", "-m", "howdah.launcher", *options),
            *("--domain", domain, "--uids", str(rights.uids.start), str(rights.uids.stop - 1)),
        ],
        stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        cwd="/",
        start_new_session=True,
        pass_fds=[control.fileno()],
    ).returncode = 0  # It is not waited for: it ends with us.


def _kept() -> dict[str, str]:
    """A shell's environment may hold secrets; what runs in ours gets none of them."""
    downloads = {name for names in (KEPT_FOR_DOWNLOADS, map(str.upper, KEPT_FOR_DOWNLOADS)) for name in names}
    return {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name in downloads or name.startswith(("LC_", *KEPT_PREFIXES))
    }
