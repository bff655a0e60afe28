"""The launcher's verbs refuse what is not an instance's, and never follow a tenant's link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from howdah.launcher.files import read_foreign, replace_file
from howdah.launcher.launcher import Launcher


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    return Launcher(roots=(tmp_path / "state",), uids=range(270000, 270010))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def test_a_path_outside_of_the_roots_is_refused(launcher: Launcher, state: Path) -> None:
    (state / "link").symlink_to(state.parent)
    for path in (state.parent / "other", state / ".." / "other", state / "link" / "other"):
        with pytest.raises(ValueError, match="outside"):
            launcher.make_directory(path, uid=None, mode=0o700)
        with pytest.raises(ValueError, match="outside"):
            launcher.discard(path, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="uids are only root's to choose")
def test_a_uid_that_is_no_instances_is_refused(launcher: Launcher, state: Path) -> None:
    for uid in (0, 1, 1000, 270010):
        with pytest.raises(ValueError, match="uid"):
            launcher.make_directory(state / "x", uid=uid, mode=0o700)
        with pytest.raises(ValueError, match="uid"):
            launcher.processes(uid, [])


def test_deleting_does_not_follow_links(launcher: Launcher, state: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    victim = state / "victim"
    (victim / "deep").mkdir(parents=True)
    (victim / "deep" / "link").symlink_to(kept)
    (victim / "name with\nnewline").touch()
    launcher.discard(victim, None)
    assert not victim.exists()
    assert (kept / "file").exists()


def test_a_link_in_place_of_a_directory_is_itself_removed(launcher: Launcher, state: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (state / "link").symlink_to(kept)
    launcher.discard(state / "link", None)
    assert kept.is_dir()
    assert not (state / "link").is_symlink()


def test_a_tenants_file_is_read_only_when_it_is_plainly_its_own(tmp_path: Path) -> None:
    own = os.geteuid()
    (tmp_path / "plain").write_text("0123456789")
    (tmp_path / "linked").symlink_to(tmp_path / "plain")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "twice").write_text("x")
    os.link(tmp_path / "twice", tmp_path / "thrice")
    assert read_foreign(tmp_path, "plain", owner=own, most=4) == b"0123"
    assert read_foreign(tmp_path, "plain", owner=own, most=4, tail=True) == b"6789"
    for name in ("linked", "pipe", "twice", "missing"):
        assert read_foreign(tmp_path, name, owner=own, most=4) is None
    assert read_foreign(tmp_path, "plain", owner=own + 1, most=4) is None


def test_a_file_is_replaced_whole_with_the_rights_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"one", mode=0o600)
    replace_file(path, b"two", mode=0o640)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]
