"""What ``howdah doctor`` says of all backups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from howdah.cli.checks.backups import check_backups
from howdah.cli.checks.finding import ok

NEW: dict[str, Any] = {
    "lastBackupAt": None,
    "lastBackupAgeSeconds": None,
    "lagSeconds": 0,
    "waitingBytes": 0,
    "spoolBytes": 0,
    "storedBytes": 0,
    "lastVerifiedRestoreAt": None,
    "gaps": 0,
}


def backed_up(hours: float, *, verified_days: float | None = None, **others: Any) -> dict[str, Any]:
    at = None if verified_days is None else (datetime.now(UTC) - timedelta(days=verified_days)).isoformat()
    ago = {"lastBackupAt": "2026-11-27T12:00:00.000Z", "lastBackupAgeSeconds": round(hours * 3600)}
    return NEW | ago | {"lastVerifiedRestoreAt": at, "storedBytes": 3 << 20} | others


def test_the_worst_of_each_is_named() -> None:
    health = [
        {"name": "a", "backups": backed_up(2, verified_days=1, lagSeconds=2.5, waitingBytes=1024)},
        {"name": "b", "backups": backed_up(5.5, verified_days=9.5, gaps=1, spoolBytes=16 << 20)},
        {"name": "c", "backups": NEW},
        {"name": "out of reach", "backups": None},
    ]
    assert list(check_backups(health)) == [
        ok(
            "backups",
            "the oldest last one is 5.5 hours old (b), 1 without one, the archive is at most 2.5 s behind (a), 1.0 KiB"
            " of WAL on its way, 16.0 MiB in the spool, 6.0 MiB stored, 1 gap (b)",
        ),
        ok("drills", "the oldest last restore that was verified is 9.5 days old (b), 1 of 3 never verified"),
    ]


def test_where_all_is_well_no_more_is_said_than_needed() -> None:
    assert list(check_backups([{"name": "a", "backups": backed_up(1, verified_days=1)}])) == [
        ok(
            "backups",
            "the oldest last one is 1.0 hours old (a), the archive is at most 0.0 s behind, 0 B of WAL on its way,"
            " 0 B in the spool, 3.0 MiB stored, no gaps",
        ),
        ok("drills", "the oldest last restore that was verified is 24.0 hours old (a), all verified"),
    ]


def test_without_backups_nothing_is_said() -> None:
    assert list(check_backups([])) == list(check_backups([{"name": "a", "backups": None}])) == []
    assert list(check_backups([{"name": "of an older server"}])) == []
