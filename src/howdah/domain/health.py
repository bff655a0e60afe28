"""Whether a service and its backups are as they should be, and why not. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from howdah.domain.backups import NO_BASE, ArchiveStatus
from howdah.domain.drills import DrillProgress, DrillResult
from howdah.domain.states import ServiceState

LONGEST_LAG = 60.0
"""Seconds that WAL may be on its way before somebody should look."""

MISSED_BACKUPS = 2
"""A base backup is overdue when it is older than so many intervals."""


SKEW = timedelta(seconds=10)
"""What may be later than now without anything being wrong: it has happened since that was asked for."""

_SINCE = "a full base backup has been taken since then: another drill says whether all is well now"


MISSED_DRILLS = 2
"""A drill is overdue when the last one, or the service's creation, was so many intervals ago."""


class HealthStatus(StrEnum):
    """``warning``: nothing is lost, but somebody should look. ``critical``: it does not serve, or what it has now could
    not be restored."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the backups of a service. archive: None where they are off or it is out of reach. drills: newest
    first. under_way: the drill that is. next_drill_at: as in ``Drilled``. unknown: why nobody knows how the archive is,
    in words. damage: what of it is damaged, so that nothing more is known."""

    archive: ArchiveStatus | None = None
    drills: tuple[DrillResult, ...] = ()
    unknown: str | None = None
    damage: str | None = None
    under_way: DrillProgress | None = None
    next_drill_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Drilling:
    """``created_at``: of the service. ``interval``: between two of its drills."""

    created_at: datetime
    interval: timedelta


@dataclass(frozen=True, slots=True)
class Health:
    """At the time ``at`` (UTC). reasons: in words; none when it is ok. archive: None where backups are off or it is out
    of reach. drills: newest first."""

    status: HealthStatus
    reasons: tuple[str, ...]
    state: ServiceState
    archive: ArchiveStatus | None
    drills: tuple[DrillResult, ...]
    at: datetime


def judge(
    state: ServiceState,
    reason: str | None,
    known: Known,
    *,
    interval: timedelta,
    drilled: Drilling | None = None,
    now: datetime,
) -> Health:
    """``reason``: of the state. ``interval``: between two base backups. ``drilled``: None where nobody expects that."""
    found = [
        *_of_service(state, reason),
        *_of_archive(known, interval, now),
        *_of_drills(known, now),
        *_of_drilling(known, drilled, now),
    ]
    critical = any(status is HealthStatus.CRITICAL for status, _ in found)
    status = HealthStatus.CRITICAL if critical else HealthStatus.WARNING if found else HealthStatus.OK
    return Health(status, tuple(words for _, words in found), state, known.archive, known.drills, now)


def _of_service(state: ServiceState, reason: str | None) -> Iterator[tuple[HealthStatus, str]]:
    if state is ServiceState.UNAVAILABLE:
        yield HealthStatus.CRITICAL, f"the service is unavailable: {reason or 'no reason is known'}"


def _of_archive(known: Known, interval: timedelta, now: datetime) -> Iterator[tuple[HealthStatus, str]]:
    if known.unknown is not None:
        yield HealthStatus.WARNING, known.unknown
    if known.damage is not None:
        yield HealthStatus.CRITICAL, f"the archive is damaged: {known.damage}"
    if (archive := known.archive) is None:
        return
    if archive.window is None:
        yield HealthStatus.WARNING, "nothing can be restored yet: no base backup is completed"
    elif any(gap.until is None for gap in archive.window.gaps):
        yield HealthStatus.CRITICAL, "WAL was lost and no base backup has closed the gap yet: see gaps of the backups"
    elif archive.broken is not None:
        yield HealthStatus.CRITICAL, f"the latest moment cannot be restored: {archive.broken}"
    if archive.problem is not None:
        goes_on = archive.problem.startswith(NO_BASE)
        yield HealthStatus.WARNING, f"{'' if goes_on else 'archiving does not go on: '}{archive.problem}"
    if archive.lag_seconds > LONGEST_LAG:
        yield HealthStatus.WARNING, f"the archive is {archive.lag_seconds:.0f} s behind"
    past = [base.finished_at for base in archive.bases if base.finished_at <= now + SKEW]
    if archive.bases and len(past) < len(archive.bases):
        ahead = max(base.finished_at for base in archive.bases)
        said = f"{ahead:%Y-%m-%dT%H:%M:%SZ}, which is in the future: the clock has been changed"
        yield HealthStatus.WARNING, f"the last base backup says that it was finished at {said}"
    if past and (age := now - past[-1]) > MISSED_BACKUPS * interval:
        yield HealthStatus.WARNING, f"the last base backup is {age.total_seconds() / 3600:.1f} hours old"


def _of_drills(known: Known, now: datetime) -> Iterator[tuple[HealthStatus, str]]:
    past = [drill for drill in known.drills if drill.started_at <= now + SKEW]
    last = next(iter(past), None)
    if last is not None and last.problems:
        first, *others = last.problems
        more = f" and {len(others)} more" if others else ""
        since = last.needs_base and known.archive is not None and last.is_mended(known.archive.bases, now)
        then = f"; {_SINCE}" if since else ""
        yield HealthStatus.CRITICAL, f"the drill of {last.started_at:%Y-%m-%dT%H:%M:%SZ} found: {first}{more}{then}"


def _of_drilling(known: Known, drilled: Drilling | None, now: datetime) -> Iterator[tuple[HealthStatus, str]]:
    """Whether drills are done at all."""
    if (under_way := known.under_way) is not None and under_way.problem is not None:
        began = f"{under_way.started_at:%Y-%m-%dT%H:%M:%SZ}"
        yield HealthStatus.WARNING, f"the drill that was begun at {began} could not be done so far: {under_way.problem}"
    if drilled is None or known.next_drill_at is None:
        return
    last = next((drill.started_at for drill in known.drills if drill.started_at <= now + SKEW), None)
    if (age := now - (last or drilled.created_at)) > MISSED_DRILLS * drilled.interval:
        what = "no backup of it was ever drilled" if last is None else f"the last drill was {_days(age)} ago"
        yield HealthStatus.WARNING, f"{what}, and one is due every {_days(drilled.interval)}"


def _days(time: timedelta) -> str:
    return f"{time / timedelta(days=1):.3g} days"
