"""Where everything of the local engine lies on disk (ARCHITECTURE.md: state on disk)."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from howdah.backup.wal import ARCHIVED as WAL
from howdah.domain.errors import SetupError
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance
from howdah.domain.settings import Settings

TRASH = "trash-"
"""What a directory's name begins with while it is being deleted."""

CONFIGURATION_FILES = ("conf/postgresql.conf", "conf/pg_hba.conf", "conf/pg_ident.conf", "tls/server.pem")
"""What an instance is configured by, below its home."""

_LONGEST_SOCKET = 107
_SOCKET = "/12345678/.s.PGSQL.65535.lock"


@dataclass(frozen=True, slots=True)
class InstancePaths:
    """``home`` is ours; ``data`` and ``log`` belong to the tenant, the rest is only readable to it.

    incoming: a data directory on its way to becoming ``data``. discarded: one that is being deleted.
    """

    home: Path
    sockets: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def archived_wal(self) -> Path:
        """What a restored server replays at its first start."""
        return self.data / WAL

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def conf(self) -> Path:
        return self.home / "conf"

    @property
    def tls(self) -> Path:
        return self.home / "tls"

    @property
    def incoming(self) -> Path:
        return self.home / "incoming"

    @property
    def discarded(self) -> Path:
        return self.home / "discarded"

    @property
    def initialised(self) -> Path:
        return self.conf / "initialised.json"

    @property
    def applied(self) -> Path:
        return self.conf / "applied.json"

    @property
    def replication_password(self) -> Path:
        """What the server of a standby comes to its primary with, in the format of libpq."""
        return self.conf / "replication.pass"

    @property
    def startup_log(self) -> Path:
        return self.conf / "startup.log"


@dataclass(frozen=True, slots=True)
class Layout:
    state: Path
    run: Path
    binaries: Path
    templates: Path

    @property
    def services(self) -> Path:
        return self.state / "services"

    @property
    def pool(self) -> Path:
        return self.state / "pool"

    @property
    def spool(self) -> Path:
        return self.state / "spool"

    def service(self, service: ServiceId) -> Path:
        return self.services / service.ubid

    def home(self, service: ServiceId, instance: InstanceId) -> Path:
        return self.service(service) / instance.ubid

    def trash(self, service: ServiceId, instance: InstanceId) -> Path:
        return self.service(service) / f"{TRASH}{instance.ubid}"

    def sockets(self, instance: InstanceId) -> Path:
        return self.run / hashlib.sha256(instance.uuid.bytes).hexdigest()[:8]

    def of(self, instance: Instance) -> InstancePaths:
        return _paths(self, instance.service, instance.id)


@lru_cache(maxsize=4096)
def _paths(layout: Layout, service: ServiceId, instance: InstanceId) -> InstancePaths:
    """Remembered: each look at a server asks for them."""
    return InstancePaths(layout.home(service, instance), layout.sockets(instance))


def layout(settings: Settings, *, privileged: bool) -> Layout:
    """The layout for these settings; nothing is made. Raises SetupError without a short directory for sockets."""
    state = Path(os.path.realpath(settings.state))
    return Layout(
        state=state,
        run=Path("/run/howdah") if privileged else _own_run_directory(),
        binaries=_resolved(settings.postgres.binaries or state / "postgres"),
        templates=_resolved(settings.postgres.templates or state / "templates"),
    )


def _resolved(path: Path) -> Path:
    """Where it really lies; as root we make it there for the system user, who must not choose where that is."""
    real = Path(os.path.realpath(path))
    if real == Path(os.path.realpath(path.parent), path.name):
        return real
    if path.is_symlink() and os.lstat(path).st_uid in (0, os.geteuid()):
        return real
    raise SetupError(f"{path} is a link that neither root nor you made; remove it, or make it anew as root")


def _own_run_directory() -> Path:
    candidates = [Path(f"/tmp/howdah-{os.geteuid()}")]
    if directory := os.environ.get("XDG_RUNTIME_DIR"):
        candidates.insert(0, Path(directory) / "howdah")
    for candidate in candidates:
        if len(os.fsencode(candidate)) + len(_SOCKET) <= _LONGEST_SOCKET and candidate.parent.is_dir():
            return candidate
    raise SetupError("no directory for Unix sockets: set XDG_RUNTIME_DIR to a short path, at most 70 bytes")


def make_run_directory(run: Path) -> None:
    """Raises SetupError when somebody else has put something in its place."""
    run.mkdir(mode=0o711, exist_ok=True)
    facts = os.lstat(run)
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise SetupError(f"{run} is not a directory of ours that only we can write to; remove it and start again")


def closed_ancestor(path: Path) -> Path | None:
    """The first directory above ``path`` (or itself) that other users cannot pass through; None when all that are there
    are open."""
    for directory in (*reversed(path.parents), path):
        if directory.exists() and not os.stat(directory).st_mode & stat.S_IXOTH:
            return directory
    return None
