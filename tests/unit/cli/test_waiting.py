"""What is waited for where a service has standbys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from howdah.cli.api import Api
from howdah.cli.waiting import wait_until_whole
from howdah.domain.errors import Unavailable

PRIMARY = {"role": "primary", "state": "running", "canTakeOver": True, "reason": None}
STANDBY = {"role": "standby", "state": "streaming", "canTakeOver": True, "reason": None}
COPYING = STANDBY | {"state": "copying", "canTakeOver": False}
FAILED = STANDBY | {"state": "failed", "reason": "no room"}


Look = tuple[str, str, list[dict[str, Any]]]
"""State, haType and members at one moment."""


@dataclass(frozen=True)
class Scripted(Api):
    """Shows one look after another, and the last one again and again."""

    looks: list[Look] = field(default_factory=list[Look])
    is_primary: bool = True

    def call(self, *_: object, **__: object) -> Any:
        state, ha_type, _members = self.looks[0] if self.looks[0][0] == "running" else self._next()
        return {"state": state, "haType": ha_type, "isPrimary": self.is_primary}

    def own(self, *_: object, **__: object) -> Any:
        assert self.is_primary, "a replica has no standbys to ask about"
        return {"members": self._next()[2]}

    def _next(self) -> Look:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


def scripted(*looks: Look, is_primary: bool = True) -> Scripted:
    return Scripted("http://nowhere", "o", "k", "s", "", list(looks), is_primary)


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ([("running", "none", [PRIMARY])], ["running"]),
        (
            [
                ("creating", "sync", [PRIMARY]),
                ("running", "sync", [PRIMARY, STANDBY, COPYING]),
                ("running", "sync", [PRIMARY, STANDBY, STANDBY]),
            ],
            ["creating", "running, 1 of 2 standbys can take over", "running"],
        ),
        (
            [("running", "none", [PRIMARY, STANDBY]), ("running", "none", [PRIMARY])],
            ["running, a standby is being removed", "running"],
        ),
    ],
)
def test_it_is_over_when_the_standbys_could_take_over(
    looks: list[Look], said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert wait_until_whole(scripted(*looks), "pg1", seconds=30)["state"] == "running"
    lines = capsys.readouterr().err.splitlines()
    assert [line.removeprefix("pg1: ").rpartition(" (")[0] for line in lines] == said


def test_a_read_replica_is_whole_when_it_runs() -> None:
    assert wait_until_whole(scripted(("running", "none", []), is_primary=False), "pg1", seconds=30)


def test_a_standby_that_fails_is_said_when_time_is_over() -> None:
    with pytest.raises(Unavailable, match="pg1 is running after 0 s: a standby has failed: no room"):
        wait_until_whole(scripted(("running", "async", [PRIMARY, FAILED])), "pg1", seconds=0)
