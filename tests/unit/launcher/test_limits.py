from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from howdah.domain.catalog import Size, default_catalog
from howdah.launcher import limits
from howdah.launcher.limits import Limits, limits_for, prefix

SMALL = Size("small", "aws", vcpus=1, memory_gib=1, storage_gib=10, arch="arm64")
HALF_OF_THE_MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def test_every_size_has_room_for_all_it_can_have_at_work() -> None:
    for size in default_catalog().sizes.values():
        connections = min(400, 50 + 25 * size.vcpus)
        found = limits_for(size, max_connections=connections, own_user=True)
        assert found.processes is not None
        everything_at_once = connections * 2 + 64 + 32 + 16 + 64 + 20
        assert found.processes > everything_at_once
        assert found.open_files > 1000
        assert 0 < (found.memory_bytes or 0) <= min(size.memory_gib << 30, HALF_OF_THE_MACHINE)


def test_the_processes_of_an_os_user_that_is_shared_are_not_limited() -> None:
    shared = limits_for(SMALL, max_connections=75, own_user=False)
    assert shared.processes is None
    assert not any("nproc" in word for word in prefix(shared))


def test_a_limit_is_never_more_than_what_we_have_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 1000))
    assert {"--nofile=1000", "--nproc=737", "--core=0", "--msgqueue=0"} < set(prefix(Limits(737, 4096, None)))


def test_one_that_is_killed_first_already_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for own, expected in ((0, "500"), (-900, "500"), (600, "600")):
        monkeypatch.setattr(limits, "_own_oom_score_adj", lambda own=own: own)
        command = prefix(Limits(1, 1, 1))
        assert command[command.index("-n") + 1] == expected


def test_what_is_not_installed_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert limits.missing() is None
    monkeypatch.setattr(limits, "_PATH", str(tmp_path))
    assert prefix(Limits(1, 1, 1)) == []
    assert limits.missing() == "prlimit and choom not found; apt-get install util-linux"
    (tmp_path / "prlimit").touch(0o755)
    assert prefix(Limits(1, 2, 3)) == [
        *(str(tmp_path / "prlimit"), "--nproc=1", "--nofile=2", "--data=3", "--core=0", "--msgqueue=0", "--")
    ]
    assert limits.missing() == "choom not found; apt-get install util-linux"
