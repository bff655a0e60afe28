"""What is wrong with a service or its backups is said in words, and how bad it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from howdah.domain.backups import ArchiveStatus, BackupKind, BaseBackup, Gap, Window
from howdah.domain.drills import DrillProgress, DrillResult
from howdah.domain.health import Drilling, Health, HealthStatus, Known, judge
from howdah.domain.states import ServiceState

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BASE = BaseBackup(
    name="20261127T110000.000000Z-full", kind=BackupKind.FULL, parent=None, postgres="18.6.0", system_identifier=1,
    started_at=NOW - HOUR, finished_at=NOW - HOUR, start_lsn="0/28", stop_lsn="0/100", wal_timeline=1, stored_bytes=1,
    data_bytes=1, files={}, tablespaces={},
)  # fmt: skip
FINE = ArchiveStatus((BASE,), Window(NOW - HOUR, NOW))
OPEN = Gap(NOW - HOUR, None, "the slot was dropped")


def judged(
    archive: ArchiveStatus | None = FINE,
    *,
    state: ServiceState = ServiceState.RUNNING,
    reason: str | None = None,
    unknown: str | None = None,
) -> Health:
    return judge(state, reason, Known(archive, unknown=unknown), interval=24 * HOUR, now=NOW)


@pytest.mark.parametrize(
    "archive", [FINE, None, replace(FINE, window=Window(NOW - HOUR, NOW, (replace(OPEN, until=NOW),)), lag_seconds=5.0)]
)
def test_what_is_as_it_should_be_is_ok(archive: ArchiveStatus | None) -> None:
    assert judged(archive) == Health(HealthStatus.OK, (), ServiceState.RUNNING, archive, (), NOW)


@pytest.mark.parametrize(
    ("archive", "status", "words"),
    [
        (replace(FINE, bases=(), window=None), HealthStatus.WARNING, "nothing can be restored yet"),
        (replace(FINE, problem="No space left"), HealthStatus.WARNING, "archiving does not go on: No space left"),
        (
            replace(FINE, problem="no base backup can be taken: it is damaged"),
            HealthStatus.WARNING,
            "no base backup can be taken: it is damaged",
        ),
        (replace(FINE, lag_seconds=61.0), HealthStatus.WARNING, "the archive is 61 s behind"),
        (replace(FINE, window=Window(NOW - HOUR, NOW, (OPEN,))), HealthStatus.CRITICAL, "WAL was lost"),
        (
            replace(FINE, bases=(replace(BASE, finished_at=NOW - 49 * HOUR),)),
            HealthStatus.WARNING,
            "the last base backup is 49.0 hours old",
        ),
    ],
)
def test_each_flaw_is_named(archive: ArchiveStatus, status: HealthStatus, words: str) -> None:
    found = judged(archive)
    (reason,) = found.reasons
    assert found.status is status
    assert reason.startswith(words)


def test_an_archive_out_of_reach_is_a_warning() -> None:
    found = judged(None, unknown="the archive cannot list it")
    assert (found.status, found.reasons) == (HealthStatus.WARNING, ("the archive cannot list it",))


def test_a_damaged_archive_is_critical() -> None:
    found = judge(ServiceState.RUNNING, None, Known(damage="backup.json is no JSON"), interval=24 * HOUR, now=NOW)
    assert found.status is HealthStatus.CRITICAL
    assert found.reasons == ("the archive is damaged: backup.json is no JSON",)


def test_the_worst_counts_and_everything_is_said() -> None:
    found = judged(replace(FINE, problem="No space left"), state=ServiceState.UNAVAILABLE, reason="it crashes")
    assert found.status is HealthStatus.CRITICAL
    assert found.reasons == ("the service is unavailable: it crashes", "archiving does not go on: No space left")


def test_what_the_last_drill_found_is_critical_until_one_finds_nothing() -> None:
    bad = DrillResult(NOW - HOUR, NOW - HOUR, problems=("the checksum of block 7 is wrong", "another"))
    good = DrillResult(NOW, NOW)
    found = judge(ServiceState.RUNNING, None, Known(FINE, (bad, good)), interval=24 * HOUR, now=NOW)
    assert found.status is HealthStatus.CRITICAL
    assert found.reasons == ("the drill of 2026-11-27T11:00:00Z found: the checksum of block 7 is wrong and 1 more",)
    found = judge(ServiceState.RUNNING, None, Known(FINE, (good, bad)), interval=24 * HOUR, now=NOW)
    assert found.status is HealthStatus.OK


def test_that_a_full_base_backup_was_taken_since_is_said() -> None:
    bad = DrillResult(NOW - 3 * HOUR, NOW - 2 * HOUR, problems=("base.tar.zst is damaged",), needs_base=True)
    found = judge(ServiceState.RUNNING, None, Known(FINE, (bad,)), interval=24 * HOUR, now=NOW)
    assert found.status is HealthStatus.CRITICAL
    assert found.reasons[0].endswith(
        "is damaged; a full base backup has been taken since then: another drill says whether all is well now"
    )
    before = replace(FINE, bases=(replace(BASE, started_at=NOW - 4 * HOUR),))
    found = judge(ServiceState.RUNNING, None, Known(before, (bad,)), interval=24 * HOUR, now=NOW)
    assert found.reasons[0].endswith("base.tar.zst is damaged")


def test_what_claims_to_be_from_the_future_is_a_warning_and_hides_nothing() -> None:
    year = timedelta(days=365)
    ahead = replace(BASE, finished_at=NOW + year)
    found = judged(replace(FINE, bases=(BASE, ahead)))
    assert found.status is HealthStatus.WARNING
    said = "the last base backup says that it was finished at 2027-11-27T12:00:00Z, which is in the future"
    assert found.reasons == (f"{said}: the clock has been changed",)
    old = replace(BASE, finished_at=NOW - 49 * HOUR)
    assert judged(replace(FINE, bases=(old, ahead))).reasons[1] == "the last base backup is 49.0 hours old"

    good, bad = DrillResult(NOW + year, NOW + year), DrillResult(NOW - HOUR, NOW - HOUR, problems=("it is damaged",))
    found = judge(ServiceState.RUNNING, None, Known(FINE, (good, bad)), interval=24 * HOUR, now=NOW)
    assert found.status is HealthStatus.CRITICAL
    assert found.reasons == ("the drill of 2026-11-27T11:00:00Z found: it is damaged",)


def test_what_has_happened_since_it_was_asked_for_is_none_from_the_future() -> None:
    soon = NOW + timedelta(seconds=1)
    archive = replace(FINE, bases=(replace(BASE, finished_at=soon),))
    found = judge(ServiceState.RUNNING, None, Known(archive, (DrillResult(soon, soon),)), interval=24 * HOUR, now=NOW)
    assert found.status is HealthStatus.OK


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("created", "last", "next_at", "words"),
    [
        (NOW - 15 * DAY, None, NOW - DAY, "no backup of it was ever drilled, and one is due every 7 days"),
        (NOW - 13 * DAY, None, NOW - DAY, None),
        (NOW - 99 * DAY, NOW - 15 * DAY, NOW - 9 * DAY, "the last drill was 15 days ago, and one is due every 7 days"),
        (NOW - 99 * DAY, NOW - 13 * DAY, NOW - 7 * DAY, None),
        (NOW - 99 * DAY, NOW + 99 * DAY, NOW, "no backup of it was ever drilled, and one is due every 7 days"),
        (NOW - 99 * DAY, None, None, None),  # Where they are off, or the kernel has no Landlock.
    ],
)
def test_drills_that_are_not_done_are_a_warning(
    created: datetime, last: datetime | None, next_at: datetime | None, words: str | None
) -> None:
    drills = () if last is None else (DrillResult(last, last),)
    found = judge(
        ServiceState.RUNNING,
        None,
        Known(FINE, drills, next_drill_at=next_at),
        interval=24 * HOUR,
        drilled=Drilling(created, 7 * DAY),
        now=NOW,
    )
    assert found.status is (HealthStatus.OK if words is None else HealthStatus.WARNING)
    assert found.reasons == (() if words is None else (words,))


def test_a_drill_that_cannot_be_done_is_a_warning() -> None:
    under_way = DrillProgress(NOW - HOUR, "waiting to be tried again", 0.0, "a drill needs 9 MiB, and 8 are free")
    found = judge(ServiceState.RUNNING, None, Known(FINE, under_way=under_way), interval=24 * HOUR, now=NOW)
    assert found.status is HealthStatus.WARNING
    said = "the drill that was begun at 2026-11-27T11:00:00Z could not be done so far"
    assert found.reasons == (f"{said}: a drill needs 9 MiB, and 8 are free",)
    well = Known(FINE, under_way=replace(under_way, problem=None))
    assert judge(ServiceState.RUNNING, None, well, interval=24 * HOUR, now=NOW).status is HealthStatus.OK
