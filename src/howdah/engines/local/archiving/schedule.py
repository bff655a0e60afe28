"""When a timeline's next base backup is due, and of which kind. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from howdah.domain.backups import BackupKind, BaseBackup
from howdah.domain.drills import DrillResult
from howdah.domain.ids import TimelineId

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Due:
    """``parent``: what an incremental one builds on; None for a full one."""

    at: datetime
    parent: BaseBackup | None

    @property
    def kind(self) -> BackupKind:
        return BackupKind.FULL if self.parent is None else BackupKind.INCREMENTAL


def next_backup(
    timeline: TimelineId,
    bases: Sequence[BaseBackup],
    *,
    interval: timedelta,
    chain: int,
    asked: int,
    gap_open: bool,
    drill: DrillResult | None,
    now: datetime,
) -> Due:
    """``bases``: those that count, oldest first; one that claims to be later than now, because the clock was changed,
    is as good as none. ``chain``: incremental ones that may build on a full one.
    ``asked``: as in ``ServiceSpec.backup``. ``drill``: the last one; what cannot be restored is not built on.

    The times of a timeline are the same every day; those of all are spread over the interval by their ids.
    """
    past = [base for base in bases if max(base.started_at, base.finished_at) <= now]
    if not past or gap_open or not (drill is None or drill.is_mended(bases, now)):
        return Due(now, None)
    last = past[-1]
    parent = last if _length(past) <= chain else None
    if asked > max(base.request for base in bases):
        return Due(now, parent)
    offset = interval * (int.from_bytes(hashlib.sha256(timeline.uuid.bytes).digest()[:4], "big") / 2**32)
    passed = (last.started_at - _LONG_AGO - offset) // interval
    return Due(_LONG_AGO + offset + (passed + 1) * interval, parent)


def _length(bases: Sequence[BaseBackup]) -> int:
    """How many the newest chain has."""
    number = 0
    for base in reversed(bases):
        number += 1
        if base.parent is None:
            break
    return number
