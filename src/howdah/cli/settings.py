"""The settings of a command, from its options, the environment and the file that these name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from howdah.cli.config import load_settings
from howdah.cli.state import by_root, default_state
from howdah.domain.settings import Settings


def settings_for(state: Path | None, config: Path | None, **options: Any) -> Settings:
    """``options``: by key name with ``__`` for the dot. Raises SetupError."""
    named = config or os.environ.get("HOWDAH_CONFIG")
    given = {"state": state} | {name.replace("__", "."): value for name, value in options.items()}
    fallback = default_state(os.environ, root=by_root()).absolute()
    return load_settings(
        given, environ=os.environ, file=Path(named).expanduser() if named else None, default_state=fallback
    )
