"""When a timeline's next drill is due. Pure."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from howdah.domain.ids import TimelineId

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def next_drill(timeline: TimelineId, since: datetime, interval: timedelta, now: datetime) -> datetime | None:
    """The first of the timeline's times after ``since``: when its last drill began, or else when its first base backup
    was finished; ``now`` when that is later than now, because the clock was changed. None when there is no interval:
    drills are only done when somebody asks.

    Those of all timelines are spread over the interval by their ids.
    """
    if interval <= timedelta():
        return None
    if since > now:
        return now
    # Not as base backups are spread: their times would all be the same.
    digest = hashlib.sha256(b"drill" + timeline.uuid.bytes).digest()
    offset = interval * (int.from_bytes(digest[:4], "big") / 2**32)
    passed = (since - _LONG_AGO - offset) // interval
    return _LONG_AGO + offset + (passed + 1) * interval
