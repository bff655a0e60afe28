"""The directories of the local engine, made and found to be within reach."""

from __future__ import annotations

from pathlib import Path

from howdah.domain.errors import SetupError
from howdah.launcher.layout import Layout, closed_ancestor, make_run_directory
from howdah.launcher.rights import Rights, is_divided


def make_directories(places: Layout, rights: Rights) -> None:
    """What is not there yet; beside a launcher it has been made already. Raises SetupError."""
    if not is_divided():
        places.state.mkdir(parents=True, exist_ok=True, mode=0o711)
        make_run_directory(places.run)
    for directory in (places.binaries, places.templates, places.pool):
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    if rights.privileged:
        _check_reachable((places.state, places.binaries, places.templates))


def _check_reachable(directories: tuple[Path, ...]) -> None:
    for directory in directories:
        if (closed := closed_ancestor(directory)) is not None:
            raise SetupError(
                f"{directory} cannot be reached by the users that servers run as: {closed} is closed to others;"
                f" choose another state directory, or: chmod o+x {closed}"
            )
