"""Deleting what belongs to an instance, each part with the rights of its owner."""

from __future__ import annotations

from pathlib import Path

from howdah.launcher.files import is_plain_directory
from howdah.launcher.launcher import Launcher


def delete_home(launcher: Launcher, home: Path, uid: int | None) -> None:
    """Delete an instance's directory, with the tenant's rights where it is the tenant's. Raises OSError."""
    if not is_plain_directory(home):
        return
    for name in ("data", "incoming", "log"):
        if is_plain_directory(home / name):
            launcher.discard(home / name, uid)
    launcher.discard(home, None)
