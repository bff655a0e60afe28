from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.domain.routes import Route, RouteState, decode_routes, encode_routes

ROUTES = st.builds(
    Route,
    st.text(min_size=1),
    st.lists(st.text()).map(tuple),
    st.lists(st.tuples(st.sampled_from(["127.0.0.1", "::1"]), st.integers(1, 65535))).map(tuple),
    st.sampled_from(RouteState),
)


@given(st.lists(ROUTES, unique_by=lambda route: route.service))
def test_a_table_comes_back_as_it_was_written(routes: list[Route]) -> None:
    assert decode_routes(encode_routes(routes)) == tuple(routes)


def test_a_table_of_the_first_version_is_read_too() -> None:
    entries = {
        "a": {"names": ["x", "y"], "host": "127.0.0.1", "port": 20001, "state": "open"},
        "b": {"names": ["z"], "host": "127.0.0.1", "port": 0, "state": "held"},
    }
    assert decode_routes(json.dumps({"version": 1, "services": entries}).encode()) == (
        Route("a", ("x", "y"), (("127.0.0.1", 20001),), RouteState.OPEN),
        Route("b", ("z",), (), RouteState.HELD),
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"version": 3, "services": {}}',
        b'{"version": null, "services": {}}',
        b'{"version": 1}',
        b'{"version": 2}',
        b'{"version": 2, "services": {"a": {"names": ["x"], "host": "h", "port": 1, "state": "open"}}}',
        b'{"version": 2, "services": {"a": {"names": ["x"], "servers": [["h"]], "state": "open"}}}',
        b'{"version": 2, "services": {"a": {"names": ["x"], "servers": [["h", "p"]], "state": "open"}}}',
        b'{"version": 2, "services": {"a": {"names": ["x"], "servers": 1, "state": "open"}}}',
        b'{"version": 1, "services": []}',
        b'{"version": 1, "services": {"a": 1}}',
        b'{"version": 1, "services": {"a": {"names": ["x"], "host": "h", "port": "p", "state": "open"}}}',
        b'{"version": 1, "services": {"a": {"names": ["x"], "host": "h", "port": 1, "state": "closed"}}}',
        b"\xff",
    ],
)
def test_anything_else_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):
        decode_routes(content)


def test_half_a_table_is_no_table() -> None:
    whole = encode_routes([Route("a", ("x",), (("127.0.0.1", 1),), RouteState.OPEN)])
    assert json.loads(whole)["version"] == 2
    for length in range(len(whole)):
        with pytest.raises(ValueError):
            decode_routes(whole[:length])
