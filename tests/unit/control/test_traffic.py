"""What the processes of the router have told is added up."""

from __future__ import annotations

from pathlib import Path

from howdah.control.traffic import TrafficCounts
from howdah.domain.ids import ServiceId
from howdah.domain.metrics import Traffic
from howdah.domain.routes import Moved, encode_moved

A, B = ServiceId.new(), ServiceId.new()


def tell(directory: Path, worker: int, moved: Moved) -> None:
    """As the router does: by a new file."""
    fresh = directory / "new"
    fresh.write_bytes(encode_moved(moved))
    fresh.replace(directory / f"traffic-{worker}.json")


def test_all_processes_and_both_names_count(tmp_path: Path) -> None:
    tell(tmp_path, 0, {A.ubid: (1, 10), f"{A.ubid}-ro": (2, 20), B.ubid: (3, 30)})
    tell(tmp_path, 1, {A.ubid: (4, 40)})
    counts = TrafficCounts(tmp_path)
    counts.read()
    assert (counts.of(A), counts.of(B)) == (Traffic(7, 70), Traffic(3, 30))
    tell(tmp_path, 1, {A.ubid: (5, 50)})
    assert counts.of(A) == Traffic(7, 70)
    counts.read()
    assert counts.of(A) == Traffic(8, 80)


def test_nothing_told_is_nothing_moved(tmp_path: Path) -> None:
    counts = TrafficCounts(tmp_path / "not there")
    counts.read()
    assert counts.of(A) == Traffic(0, 0)


def test_what_is_no_count_changes_nothing(tmp_path: Path) -> None:
    tell(tmp_path, 0, {A.ubid: (5, 50)})
    counts = TrafficCounts(tmp_path)
    counts.read()
    wrong = ["", "[]", "{", "7", '{"version": 1}', '{"version": 2, "bytes": {}}', '{"version": 1, "bytes": [1]}']
    for content in [*wrong, '{"version": 1, "bytes": {"a": 7}}', '{"version": 1, "bytes": {"a": ["x", 1]}}']:
        (tmp_path / "traffic-0.json").write_text(content)
        counts.read()
        assert counts.of(A) == Traffic(5, 50)
