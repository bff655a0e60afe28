"""What the processes of the router have told is added up, and never goes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from howdah.control.traffic import TrafficCounts
from howdah.domain.ids import ServiceId
from howdah.domain.metrics import Traffic

A, B = ServiceId.new(), ServiceId.new()


def tell(directory: Path, worker: int, since: str, moved: Mapping[str, tuple[int, int]]) -> None:
    """As the router does: by a new file."""
    fresh = directory / "new"
    fresh.write_text(json.dumps({"since": since, "bytes": moved}))
    fresh.replace(directory / f"traffic-{worker}.json")


def test_all_processes_and_both_names_count(tmp_path: Path) -> None:
    tell(tmp_path, 0, "x", {A.ubid: (1, 10), f"{A.ubid}-ro": (2, 20), B.ubid: (3, 30)})
    tell(tmp_path, 1, "y", {A.ubid: (4, 40)})
    counts = TrafficCounts(tmp_path)
    counts.read()
    assert (counts.of(A), counts.of(B)) == (Traffic(7, 70), Traffic(3, 30))
    counts.read()
    assert counts.of(A) == Traffic(7, 70)


def test_a_count_that_begins_anew_goes_on_here(tmp_path: Path) -> None:
    counts = TrafficCounts(tmp_path)
    for since, moved in (("x", (5, 50)), ("x", (7, 70)), ("y", (1, 1)), ("y", (2, 2))):
        tell(tmp_path, 0, since, {A.ubid: moved})
        counts.read()
    assert counts.of(A) == Traffic(9, 72)


def test_nothing_told_is_nothing_moved(tmp_path: Path) -> None:
    counts = TrafficCounts(tmp_path / "not there")
    counts.read()
    assert counts.of(A) == Traffic(0, 0)


def test_what_is_no_count_changes_nothing(tmp_path: Path) -> None:
    tell(tmp_path, 0, "x", {A.ubid: (5, 50)})
    counts = TrafficCounts(tmp_path)
    counts.read()
    for content in ("", "[]", "{", '{"since": "x"}', '{"since": "x", "bytes": {"a": 7}}', '{"since": 1, "bytes": 1}'):
        (tmp_path / "traffic-0.json").write_text(content)
        counts.read()
        assert counts.of(A) == Traffic(5, 50)


def test_services_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    counts = TrafficCounts(tmp_path)
    tell(tmp_path, 0, "x", {A.ubid: (5, 50), B.ubid: (1, 1)})
    counts.read()
    tell(tmp_path, 0, "x", {B.ubid: (2, 2)})
    counts.read()
    assert (counts.of(A), counts.of(B)) == (Traffic(0, 0), Traffic(2, 2))
    assert len(counts._total) == 1
