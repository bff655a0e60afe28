from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import structlog

from howdah.cli.logs import Unfailing


def test_a_line_that_cannot_be_written_is_lost_and_nothing_fails() -> None:
    full = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115
    try:
        with pytest.raises(OSError, match="No space left"):
            structlog.WriteLogger(full).info("a line")
        log = structlog.WriteLogger(Unfailing(full))  # type: ignore[arg-type]
        for _ in range(1000):
            log.info("x" * 1000)
    finally:
        with contextlib.suppress(OSError):
            full.close()
