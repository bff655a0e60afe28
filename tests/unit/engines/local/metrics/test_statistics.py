"""What a server says of itself is its tenant's: of the form that is asked for, or no answer, and never too much."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.domain.errors import Unavailable
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance, Role
from howdah.domain.metrics import Follower
from howdah.engines.local.members.membership import slot_of
from howdah.engines.local.metrics import statistics

SERVICE = ServiceId.new()
STANDBY = Instance(InstanceId.new(), SERVICE, 20001, None, Role.STANDBY)
SAID: dict[str, Any] = dict.fromkeys(statistics._COUNTS, 1) | {
    "connections": {"active": 2, "idle in transaction": 1, "made up": 3, "another": 4},
    "oldest_transaction": 0.5,
    "flushed": "1/10",
    "received": None,
    "slots": {"a": 7},
    "followers": {slot_of(STANDBY.id): [8, 0.25], "howdah_of_nobody": [1, 1], "psql": [2, 2]},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


class Connection:
    """Answers whatever it is asked with one row."""

    def __init__(self, text: object) -> None:
        self.text = text

    async def execute(self, _question: str) -> Connection:
        return self

    async def fetchall(self) -> list[tuple[object]]:
        return [(self.text,)]


def asked(text: object) -> Any:
    read = lambda raw: statistics._statistics(raw, lambda: [STANDBY])  # noqa: E731
    return asyncio.run(statistics._answer(Connection(text), "", read))  # type: ignore[arg-type]


def test_states_that_no_connection_has_are_one_and_followers_are_those_that_are_known() -> None:
    found = asked(json.dumps(SAID))
    assert found.connections == {"active": 2, "idle": 0, "idle in transaction": 1, "unknown": 7}
    assert found.followers == (Follower(SERVICE, STANDBY.id, 8, 0.25),)
    assert (found.slots, found.oldest_transaction, found.deadlocks) == ({"a": 7}, 0.5, 1)
    assert (found.flushed, found.received) == ((1 << 32) + 16, None)


@given(st.sampled_from(sorted(SAID)), JSON)
def test_an_answer_of_another_form_is_none(name: str, value: object) -> None:
    try:
        found = asked(json.dumps(SAID | {name: value}))
    except Unavailable:
        return
    assert len(found.slots) <= statistics.MOST
    assert set(found.connections) <= statistics.STATES | {"unknown"}


@given(JSON)
def test_an_answer_that_is_something_else_is_none(value: object) -> None:
    with pytest.raises(Unavailable):
        asked(json.dumps(value))


@pytest.mark.parametrize("text", [None, "", "{", 7, '{"max_connections": NaN}', "[" * 100_000])
def test_an_answer_that_is_no_json_is_none(text: object) -> None:
    with pytest.raises(Unavailable):
        asked(text)


@pytest.mark.parametrize("name", ["oldest_transaction", "deadlocks", "slots"])
def test_numbers_without_an_end_are_none(name: str) -> None:
    with pytest.raises(Unavailable):
        asked(json.dumps(SAID | {name: 0}).replace(f'"{name}": 0', f'"{name}": 1e999'))


def test_no_more_names_are_told_of_than_are_bearable() -> None:
    many = {f"s{number}": number for number in range(1000)}
    assert len(asked(json.dumps(SAID | {"slots": many})).slots) == statistics.MOST
    (name,) = asked(json.dumps(SAID | {"slots": {"x" * 10_000: 1}})).slots
    assert len(name) < 200
    databases, size = statistics._sizes({"databases": {"636166e9": 5, "78": 6}, "all": 11})
    assert (databases, size) == ({"caf\\xe9": 5, "x": 6}, 11)
