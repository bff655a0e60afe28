"""kill -9 at every boundary of every operation, of the control plane and of its launcher. See instrumented.py."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path

import pytest
from faults.killing import OPERATIONS, Boundary, BoundaryServer, Life
from fixtures.server import eventually

FEW = 1
"""Boundaries of each operation in the quick selection."""

AGAIN = "HOWDAH_TEST_BOUNDARY"
"""An environment variable: begin the quick selection where an earlier run did, as it printed."""


@pytest.fixture(scope="module")
def top() -> Iterator[Path]:
    """A directory that the users of servers may pass through, with a short name."""
    top = Path(tempfile.mkdtemp(prefix="hwd-"))
    top.chmod(0o755)
    yield top
    shutil.rmtree(top)


@pytest.fixture(scope="module")
def life(top: Path) -> Iterator[Life]:
    """One server for all kills: what one leaves behind would be found after the next."""
    server = BoundaryServer(top / "state")
    server.start()
    yield Life(server)
    server.stop_everything()


def boundaries(life: Life, operation: str) -> list[Boundary]:
    """Those that the operation crosses from its request until it is settled; what it does is checked on the way."""
    life.one()
    life.server.order()
    after = OPERATIONS[operation](life)
    life.settle()
    crossed = life.server.crossed()
    after()
    life.server.order()
    return once_per_run(crossed)


def once_per_run(crossed: list[Boundary]) -> list[Boundary]:
    """Of one thing done to file after file: its first two, one in the middle and the last."""
    runs = [list(run) for _, run in groupby(crossed, key=lambda one: (one.role, one.what))]
    return [one for run in runs for one in sorted({*run[:2], run[len(run) // 2], run[-1]}, key=lambda one: one.at)]


def kill_at(life: Life, operation: str, boundary: Boundary) -> None:
    life.trim()
    life.one()
    life.server.order(boundary.role, boundary.at)
    after = OPERATIONS[operation](life)

    def reached() -> bool:
        return any((one.role, one.at) == (boundary.role, boundary.at) for one in life.server.crossed())

    # An operation does not take the same way each time: one that is settled before is killed there.
    eventually("the kill", lambda: life.server.ended() or reached() or quiet(life), within=60, every=0.1)
    life.server.end_and_restart()
    life.settle()
    after()


def quiet(life: Life) -> bool:
    answer = life.server.answered("GET", "")
    return answer is not None and all(shown["state"] == "running" for shown in answer.json()["result"])


@pytest.mark.parametrize(
    "operation",
    [one if one in ("create", "start") else pytest.param(one, marks=pytest.mark.long) for one in OPERATIONS],
)
@pytest.mark.fault(
    what="The control plane or its launcher is killed (SIGKILL) at any step of create, rename, password, restart,"
    " delete or its own start",
    then="Started again it finishes what was asked for; nothing acknowledged is lost, nothing is doubled or left over",
)
def test_a_kill_at_some_boundaries_leaves_what_was_asked_for(life: Life, operation: str) -> None:
    crossed = boundaries(life, operation)
    stride = len(crossed) / FEW
    offset = float(os.environ.get(AGAIN) or random.random())
    print(f"{operation}: {len(crossed)} boundaries; {AGAIN}={offset}")
    for number in range(FEW):
        boundary = crossed[int((number + offset) * stride)]
        print(f"killed at {boundary}")
        kill_at(life, operation, boundary)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_kill_at_any_boundary_leaves_what_was_asked_for(life: Life, operation: str) -> None:
    crossed = boundaries(life, operation)
    assert len(crossed) > 10
    for boundary in crossed:
        print(f"killed at {boundary}")
        kill_at(life, operation, boundary)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.fault(
    what="The very first start is killed (SIGKILL) at any step",
    then="The next one makes one organization and one key, and leaves it to its owner",
)
def test_a_kill_at_any_boundary_of_the_first_start_leaves_one_key(top: Path) -> None:
    whole = BoundaryServer(top / "whole")
    whole.order()
    whole.start()
    crossed = once_per_run(whole.crossed())
    whole.stop_everything()
    assert len(crossed) > 10
    for number, boundary in enumerate(crossed):
        print(f"killed at {boundary}")
        server = BoundaryServer(top / str(number))
        server.order(boundary.role, boundary.at)
        server.spawn()
        eventually("the kill", lambda one=server: one.ended() or one.is_ready(), within=60)
        server.end_and_restart()
        assert server.call("GET", "") == []
        with closing(sqlite3.connect(server.state / "howdah.db")) as store:
            assert store.execute("select count(*) from organizations").fetchone() == (1,)
            assert store.execute("select count(*) from api_keys").fetchone() == (1,)
        server.stop_everything()
        shutil.rmtree(server.state)
