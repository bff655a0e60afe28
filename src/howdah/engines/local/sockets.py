"""Socket directories. They have short names and lie apart from their instances, which a link beside each tells."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import structlog

from howdah.domain.instances import Instance
from howdah.engines.local.layout import Layout, make_run_directory
from howdah.launcher.files import is_plain_directory
from howdah.launcher.launcher import Launcher

_LINK = ".home"
_log = structlog.get_logger()


def make_sockets(layout: Layout, launcher: Launcher, instance: Instance) -> None:
    """The instance's socket directory; its home is there already."""
    paths = layout.of(instance)
    make_run_directory(layout.run)
    with contextlib.suppress(FileExistsError):
        _link(paths.sockets).symlink_to(paths.home)
    launcher.make_directory(paths.sockets, uid=instance.uid, mode=0o700)


def discard_sockets(launcher: Launcher, sockets: Path, uid: int | None) -> None:
    """Raises OSError."""
    if is_plain_directory(sockets):
        launcher.discard(sockets, uid)
    _link(sockets).unlink(missing_ok=True)


def tidy_sockets(layout: Layout, launcher: Launcher) -> None:
    """Discard those whose instance's directory is gone, with its whole state directory perhaps."""
    for link in list(layout.run.glob("*" + _LINK)):
        if link.is_dir():
            continue
        sockets = link.with_suffix("")
        uid = os.lstat(sockets).st_uid if is_plain_directory(sockets) else os.geteuid()
        try:
            discard_sockets(launcher, sockets, None if uid == os.geteuid() else uid)
        except (OSError, ValueError) as error:
            _log.warning("a stale socket directory stays", directory=str(sockets), error=str(error))


def _link(sockets: Path) -> Path:
    return sockets.with_name(sockets.name + _LINK)
