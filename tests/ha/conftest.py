"""One server for all tests of a module: each has services of its own, and leaves none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fixtures.server import Server


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    yield shared_server
    left = shared_server.call("GET", "")
    for service in sorted(left, key=lambda one: one["isPrimary"]):  # A replica first: its primary cannot go before.
        shared_server.call("DELETE", f"/{service['id']}")
    for service in left:
        shared_server.wait_until_gone(service["id"])
