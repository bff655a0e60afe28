"""How much memory there is for us: in a container that may be less than the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from howdah.launcher.place import Place


def machine_memory() -> int:
    """Bytes: of the machine, or of the smallest control group that this process is in."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    place = Place.own()
    return machine if place is None else min([machine, *_limits(place)])


def _limits(place: Place) -> Iterator[int]:
    """The bounds of its group and of all above it."""
    group = place.mount / place.path
    for directory in (group, *group.parents):
        if not directory.is_relative_to(place.mount):
            return
        said = _read(directory / "memory.max")
        if said.isdigit():
            yield int(said)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""  # The topmost group has none.
