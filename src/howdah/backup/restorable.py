"""What of a timeline can be restored, and what that takes. Pure: from what an archive has to an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from howdah.backup.errors import DamageError, NotRestorableError
from howdah.backup.wal import SEGMENT_BYTES, Segment, StoredWal, lsn, switches
from howdah.domain.backups import BaseBackup, Gap, Window
from howdah.domain.moments import text

_NEVER = 1 << 64
"""Beyond every segment."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What an archive has of one timeline. ``wal``: in order; ``histories``: by Postgres' timeline."""

    bases: Sequence[BaseBackup]
    wal: Sequence[StoredWal]
    histories: Mapping[int, str]
    gaps: Sequence[Gap] = ()


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """chain: a full base backup, then the incremental ones that build on it. wal: every segment from the first that
    the last of the chain needs, in order, without a hole. target: None for everything. broken: in words, where more
    WAL follows behind a hole; then only what certainly ends before it can be restored."""

    chain: tuple[BaseBackup, ...]
    wal: tuple[Segment, ...]
    histories: tuple[int, ...]
    target: datetime | None
    broken: str | None = None


def window(contents: Contents) -> Window | None:
    """None while nothing can be restored."""
    usable = [base for base in contents.bases if is_usable(contents, base)]
    if not usable:
        return None
    earliest = min(base.finished_at for base in usable)
    latest = max([one.modified for one in contents.wal] + [earliest])
    return Window(earliest, latest, tuple(gap for gap in contents.gaps if gap.until is None or gap.until > earliest))


def broken(contents: Contents) -> Gap | None:
    """What is missing of the newest WAL, so that the latest moment cannot be restored, and a full base backup is what
    mends it; None where nothing is, or nothing was ever there to be restored."""
    for base in reversed(contents.bases):
        if is_usable(contents, base):
            wal = _path(contents, base)
            hole = _hole(contents, base, wal)
            return None if hole is None else Gap(max(wal[-1].modified, base.finished_at), None, hole)
    return None


def plan(contents: Contents, target: datetime | None) -> RestorePlan:
    """Raises NotRestorableError outside of what can be restored, DamageError where something is missing."""
    found = window(contents)
    if found is None:
        raise NotRestorableError("nothing can be restored yet: no base backup is completed")
    if target is not None:
        _check(found, target)
    for base in reversed(contents.bases):
        if (target is None or base.finished_at <= target) and is_usable(contents, base):
            break
    else:
        raise NotRestorableError(_between(found))
    wal = _path(contents, base)
    broken = _hole(contents, base, wal)
    if broken is not None and (target is None or target > wal[-1].modified):
        raise DamageError(broken)
    segments = tuple(one.segment for one in wal)
    return RestorePlan(_chain(contents, base), segments, tuple(contents.histories), target, broken)


def _check(found: Window, target: datetime) -> None:
    if target < found.earliest:
        raise NotRestorableError(_between(found))
    for gap in found.gaps:
        if gap.since < target and (gap.until is None or target < gap.until):
            until = "a base backup closes it" if gap.until is None else text(gap.until)
            raise NotRestorableError(
                f"{text(target)} cannot be restored: WAL is missing from {text(gap.since)} until {until} ({gap.reason})"
            )


def _between(found: Window) -> str:
    return f"Restore target must be between {text(found.earliest)} and {text(found.latest)}"


def _hole(contents: Contents, base: BaseBackup, path: Sequence[StoredWal]) -> str | None:
    """Where the path ends early, because a segment is missing, what is later cannot be restored from this base."""
    last = path[-1]
    legs = _legs(contents, base.wal_timeline)
    beyond = [one for one in contents.wal if one.segment.number > last.segment.number and _is_on(legs, one.segment)]
    if beyond:
        missing = last.segment.number + (0 if last.partial else 1)
        names = " or ".join(Segment(leg.wal_timeline, missing).name for leg in legs if leg.first <= missing <= leg.last)
        return (
            f"the WAL segment {names} is missing or incomplete in the archive:"
            f" what can be restored ends at {text(last.modified)}"
        )
    return None


def _chain(contents: Contents, base: BaseBackup) -> tuple[BaseBackup, ...]:
    by_name = {one.name: one for one in contents.bases}
    chain = [base]
    while (parent := chain[0].parent) is not None:
        if parent not in by_name:
            raise DamageError(f"the base backup {parent}, on which {chain[0].name} builds, is missing in the archive")
        chain.insert(0, by_name[parent])
    return tuple(chain)


def is_usable(contents: Contents, base: BaseBackup) -> bool:
    """All that it builds on is there, and all WAL that it needs to be consistent."""
    try:
        _chain(contents, base)
    except DamageError:
        return False
    wal = _path(contents, base)
    return bool(wal) and wal[-1].segment.number >= (lsn(base.stop_lsn) - 1) // SEGMENT_BYTES


def _path(contents: Contents, base: BaseBackup) -> list[StoredWal]:
    """WAL from a base backup on without a hole, along the newest timeline that descends from it."""
    by_segment = {one.segment: one for one in contents.wal}
    legs = _legs(contents, base.wal_timeline)
    number, path = lsn(base.start_lsn) // SEGMENT_BYTES, list[StoredWal]()
    while True:
        # At a switch both timelines have the segment; the later one's has what is in the earlier one's, and more.
        names = (Segment(leg.wal_timeline, number) for leg in reversed(legs) if leg.first <= number <= leg.last)
        found = next((by_segment[name] for name in names if name in by_segment), None)
        if found is None:
            return path
        path.append(found)
        if found.partial:
            return path
        number += 1


@dataclass(frozen=True, slots=True)
class _Leg:
    """The part of a path on one of Postgres' timelines: the numbers of its first and last segment."""

    wal_timeline: int
    first: int
    last: int


def _is_on(legs: Sequence[_Leg], segment: Segment) -> bool:
    return any(leg.wal_timeline == segment.wal_timeline and leg.first <= segment.number <= leg.last for leg in legs)


def _legs(contents: Contents, wal_timeline: int) -> list[_Leg]:
    """The way from ``wal_timeline`` to the newest timeline that descends from it."""
    lines = {line: list(switches(content)) for line, content in contents.histories.items()}
    newest = max((line for line, past in lines.items() if wal_timeline in dict(past)), default=wal_timeline)
    past = [(line, end) for line, end in lines.get(newest, ()) if line >= wal_timeline]
    ends = [(line, end // SEGMENT_BYTES) for line, end in past] + [(newest, _NEVER)]
    firsts = [0, *(end for _, end in ends)]
    return [_Leg(line, first, last) for (line, last), first in zip(ends, firsts, strict=False)]
