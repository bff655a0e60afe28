"""What is known of a service's backups, judged by the settings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from howdah.control.backups import Backups
from howdah.domain.health import Known
from howdah.domain.settings import BackupSettings
from howdah.domain.states import ServiceState

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
NONE = cast("Any", None)


@pytest.mark.parametrize(
    ("interval", "reasons"),
    [(3.0, ("no backup of it was ever drilled, and one is due every 3 days",)), (7.0, ())],
)
def test_a_service_must_have_been_drilled_within_two_of_the_intervals(interval: float, reasons: tuple[str]) -> None:
    settings = BackupSettings(drill_interval_days=interval)
    service = SimpleNamespace(state=ServiceState.RUNNING, state_reason=None, created_at=NOW - timedelta(days=7))
    backups = Backups(NONE, NONE, lambda: NOW, NONE, NONE, settings)
    assert backups.judge(cast("Any", service), Known(next_drill_at=NOW)).reasons == reasons
