from __future__ import annotations

import os
from pathlib import Path

import pytest

from howdah.launcher.memory import machine_memory
from howdah.launcher.place import Place

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("above", "own", "expected"),
    [
        ("max", "max", MACHINE),
        ("max", str(1 << 30), 1 << 30),
        (str(1 << 29), str(1 << 30), 1 << 29),
        (str(MACHINE * 2), "max", MACHINE),
        (None, "max", MACHINE),
    ],
)
def test_there_is_no_more_than_the_control_groups_around_us_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, above: str | None, own: str, expected: int
) -> None:
    (tmp_path / "unit" / "control").mkdir(parents=True)
    for directory, said in ((tmp_path / "unit", above), (tmp_path / "unit" / "control", own)):
        if said is not None:
            (directory / "memory.max").write_text(f"{said}\n")
    monkeypatch.setattr(Place, "own", lambda: Place(tmp_path, "unit/control"))
    assert machine_memory() == expected


def test_without_control_groups_it_is_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "own", lambda: None)
    assert machine_memory() == MACHINE
