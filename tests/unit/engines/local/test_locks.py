"""Directories of programs and templates that another user made."""

from __future__ import annotations

from pathlib import Path

import pytest

from howdah.domain.errors import SetupError
from howdah.engines.local.binaries import exclusive


def test_a_directory_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    (tmp_path / "postgres").touch()
    with pytest.raises(SetupError, match=r"postgres/\.lock cannot be opened"), exclusive(tmp_path / "postgres/.lock"):
        pass
