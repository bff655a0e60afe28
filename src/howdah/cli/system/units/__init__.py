"""The units of systemd, and where they and the configuration go."""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from pathlib import Path

from howdah.domain.errors import SetupError

NAMES = ("howdah-router.service", "howdah.service")
DIRECTORY = Path("/etc/systemd/system")
CONFIGURATION = Path("/etc/howdah/howdah.toml")
_PLAIN = re.compile(r"[A-Za-z0-9/._+@:-]+")


def unit_files(config: Path, state: Path) -> dict[Path, str]:
    """Path and content of each unit. Raises SetupError for a path that a unit cannot have."""
    values = {"@PYTHON@": sys.executable, "@CONFIG@": str(config), "@STATE@": str(state)}
    for value in values.values():
        if not _PLAIN.fullmatch(value):
            raise SetupError(f"{value!r} cannot be written into a unit: only letters, digits and / . _ + @ : - can")
    return {DIRECTORY / name: _filled(name, values) for name in NAMES}


def first_configuration(state: Path) -> str:
    """For a machine that has none yet."""
    return _filled("howdah.toml", {"@STATE@": str(state)})


def _filled(name: str, values: dict[str, str]) -> str:
    text = files(__name__).joinpath(name).read_text()
    for marker, value in values.items():
        text = text.replace(marker, value)
    return text
