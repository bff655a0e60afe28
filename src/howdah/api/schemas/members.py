"""The servers of a service."""

from __future__ import annotations

from howdah.api.schemas.terms import (
    BOOLEAN,
    INTEGER,
    MOMENT,
    NUMBER,
    TEXT,
    UUID,
    Schema,
    array,
    choice,
    described,
    nullable,
    record,
)
from howdah.domain.failovers import ChangeKind
from howdah.domain.instances import Role as MemberRole
from howdah.domain.members import MemberState

_MEMBERS = record(
    {
        "members": array(
            record(
                {
                    "id": TEXT,
                    "role": choice(MemberRole),
                    "state": choice(MemberState),
                    "reason": described(nullable(TEXT), "Why it failed"),
                    "canTakeOver": described(BOOLEAN, "Whether its data are the service's"),
                    "acknowledges": described(BOOLEAN, "Whether commits wait for it or another such"),
                    "receivedLsn": described(nullable(TEXT), "Until where a standby has everything durably"),
                    "replayedLsn": described(nullable(TEXT), "Until where a standby shows everything"),
                    "lagBytes": described(nullable(INTEGER), "WAL that the primary has beyond receivedLsn"),
                }
            )
        ),
        "primaryChanges": described(
            array(
                record(
                    {
                        "id": UUID,
                        "at": MOMENT,
                        "kind": choice(ChangeKind),
                        "cause": TEXT,
                        "from": TEXT,
                        "to": TEXT,
                        "lsn": described(nullable(TEXT), "Until where the new primary had everything"),
                        "lostBytes": described(nullable(INTEGER), "WAL that it lacked; null: not known"),
                        "detectionMs": described(nullable(NUMBER), "Since the last time that all was well"),
                        "fencingMs": described(nullable(NUMBER), "Until no process of the former one was left"),
                        "promotionMs": described(nullable(NUMBER), "Until the new one accepted writes"),
                        "firstWriteMs": described(nullable(NUMBER), "From the beginning until then"),
                    }
                )
            ),
            "The newest first, at most 100",
        ),
    }
)

MEMBERS: dict[str, Schema] = {
    "Members": _MEMBERS,
}
