from __future__ import annotations

import os
from pathlib import Path

import pytest

from howdah.launcher import cgroups
from howdah.launcher.limits import Limits
from howdah.launcher.place import Place

UNIFIED = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:7 master:2 - cgroup2 cgroup2 rw
"""
CONTAINER = "41 31 0:38 /docker/ab12 /sys/fs/cgroup rw,relatime - cgroup2 cgroup rw\n"
UNIT = "system.slice/howdah.service"


@pytest.mark.parametrize(
    ("mountinfo", "cgroup", "mount", "path"),
    [
        (UNIFIED, f"0::/{UNIT}/control\n", "/sys/fs/cgroup", f"{UNIT}/control"),
        (HYBRID, "8:pids:/\n1:name=systemd:/x\n0::/\n", "/sys/fs/cgroup/unified", "."),
        (CONTAINER, "0::/docker/ab12\n", "/sys/fs/cgroup", "."),
        (CONTAINER, "0::/docker/ab12/inner\n", "/sys/fs/cgroup", "inner"),
    ],
)
def test_where_we_are_is_what_the_kernel_says(mountinfo: str, cgroup: str, mount: str, path: str) -> None:
    assert Place.of(mountinfo, cgroup) == Place(Path(mount), path)


@pytest.mark.parametrize(
    ("mountinfo", "cgroup"), [("", "0::/\n"), (HYBRID, "8:pids:/\n"), (CONTAINER, "0::/docker/other\n")]
)
def test_without_a_hierarchy_of_version_two_there_is_no_such_place(mountinfo: str, cgroup: str) -> None:
    assert Place.of(mountinfo, cgroup) is None


class Tree:
    """Stands in for the mounted hierarchy, for hosts that this one is not."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.top = top
        self.delegated: set[Path] = set()
        monkeypatch.setattr(cgroups, "_is_delegated", self._is_delegated)
        monkeypatch.setattr(cgroups, "_SYSTEMD", top / "run-systemd")
        monkeypatch.setattr(Place, "own", lambda: Place(top, self.path))
        self.path = "."
        self.group(".")

    def _is_delegated(self, directory: Path) -> bool:
        return directory in self.delegated

    def group(self, path: str, controllers: str = "cpu io memory pids") -> Path:
        directory = self.top / path
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cgroup.controllers").write_text(f"{controllers}\n")
        (directory / "cgroup.procs").touch()
        (directory / "cgroup.subtree_control").touch()
        return directory


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return Tree(tmp_path, monkeypatch)


def test_a_unit_that_runs_in_a_subgroup_of_a_delegated_group_can_divide_it(tree: Tree) -> None:
    unit = tree.group(UNIT)
    tree.group(f"{UNIT}/howdah")
    tree.path, tree.delegated = f"{UNIT}/control", {unit}
    assert cgroups.missing() is None
    assert cgroups.prepare() == unit / "howdah"
    for directory in (unit, unit / "howdah"):
        assert (directory / "cgroup.subtree_control").read_text() == "+pids +memory"


def test_neither_a_session_nor_a_unit_without_a_subgroup_is_ours(tree: Tree) -> None:
    unit = tree.group(UNIT)
    tree.group("user.slice/session-3.scope")
    for path, delegated in (("user.slice/session-3.scope", set[Path]()), (UNIT, {unit})):
        tree.path, tree.delegated = path, delegated
        assert "DelegateSubgroup" in (cgroups.missing() or "")
        with pytest.raises(OSError, match="somebody else's"):
            cgroups.prepare()


def test_the_top_of_a_container_is_ours_unless_systemd_manages_it(tree: Tree) -> None:
    tree.group("howdah")
    assert cgroups.missing() is None
    assert cgroups.prepare() == tree.top / "howdah"
    (tree.top / "run-systemd").mkdir()
    assert "somebody else's" in (cgroups.missing() or "")


def test_a_controller_that_is_not_there_is_named(tree: Tree) -> None:
    tree.group(".", controllers="cpu memory")
    assert cgroups.missing() == f"{tree.top} lacks the controllers pids (cgroup v1 may have them)"


def test_limits_are_written_where_there_are_any(tree: Tree) -> None:
    tree.group("one")
    for name in ("pids.max", "memory.max"):
        (tree.top / "one" / name).touch()
    cgroups.make(tree.top, "one", Limits(737, 1, 1, total_memory_bytes=4096))
    assert (tree.top / "one" / "pids.max").read_text() == "737"
    assert (tree.top / "one" / "memory.max").read_text() == "4096"
    assert cgroups.make(tree.top, "bare", Limits(None, 1, 1)) == tree.top / "bare"
    assert os.listdir(tree.top / "bare") == []
    with pytest.raises(FileNotFoundError):
        cgroups.make(tree.top, "bare", Limits(5, 1, 1))


def test_a_kernel_that_cannot_kill_a_group_leaves_that_to_others(tree: Tree) -> None:
    assert not cgroups.kill(tree.group("one"))
    assert cgroups.kill(tree.top / "gone")
