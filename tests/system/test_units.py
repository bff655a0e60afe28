"""The units of systemd: what is written, and that systemd understands it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from fixtures.command import howdah

from howdah.cli.system.service import RUNNING_SYSTEMD

UNITS = ("howdah.service", "howdah-router.service")
NEWER_KEYS = ("DelegateSubgroup",)
"""What systemd before 254 passes over."""

needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")


def unit(root: Path, name: str) -> Path:
    return root / "etc/systemd/system" / name


def installed(root: Path, *options: str) -> Path:
    done = howdah("system", "install", "--root", str(root), *options)
    assert done.returncode == 0, done.stderr
    assert "to do: systemctl daemon-reload" in done.stderr
    assert "to do: systemctl enable --now howdah-router.service howdah.service" in done.stderr
    return root


@needs_analyze
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    root = installed(tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(unit(root, name)) for name in UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )
    problems = [line for line in done.stderr.splitlines() if not any(key in line for key in NEWER_KEYS)]
    assert (done.returncode, problems) == (0, [])


@needs_analyze
def test_a_mistake_in_a_unit_would_be_found(tmp_path: Path) -> None:
    file = unit(installed(tmp_path), "howdah.service")
    file.write_text(file.read_text().replace("KillMode=process", "KillModus=process"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
    )
    assert "Unknown key" in done.stderr
    assert "KillModus" in done.stderr


def test_the_control_plane_leaves_its_servers_alone_and_the_router_comes_first(tmp_path: Path) -> None:
    root = installed(tmp_path, "--state", "/srv/howdah")
    plane, router = (unit(root, name).read_text().splitlines() for name in UNITS)
    assert {"KillMode=process", "Delegate=yes", "Type=notify", "Restart=on-failure"} <= set(plane)
    assert any(line.startswith("After=") and "howdah-router.service" in line for line in plane)
    assert {"User=howdah", "Type=notify", "Restart=on-failure", "NoNewPrivileges=yes"} <= set(router)
    assert "ReadWritePaths=/srv/howdah/router" in router
    assert tomllib.loads((root / "etc/howdah/howdah.toml").read_text()) == {"state": "/srv/howdah"}


def test_installing_again_changes_nothing_and_keeps_the_configuration(tmp_path: Path) -> None:
    root = installed(tmp_path)
    config = root / "etc/howdah/howdah.toml"
    config.write_text('state = "/srv/other"\n')
    installed(root)
    assert config.read_text() == 'state = "/srv/other"\n'
    assert "ReadWritePaths=/srv/other/router" in unit(root, "howdah-router.service").read_text()
    before = {file: file.stat().st_mtime_ns for file in root.rglob("*")}
    installed(root)
    assert {file: file.stat().st_mtime_ns for file in root.rglob("*")} == before


def test_a_dry_run_writes_nothing_and_shows_everything(tmp_path: Path) -> None:
    done = howdah("system", "install", "--root", str(tmp_path), "--dry-run")
    assert done.returncode == 0
    assert "KillMode=process" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_uninstalling_leaves_the_configuration_and_says_what_stays(tmp_path: Path) -> None:
    root = installed(tmp_path)
    done = howdah("system", "uninstall", "--root", str(root))
    assert done.returncode == 0
    assert "to do: systemctl disable --now howdah-router.service howdah.service" in done.stderr
    assert "The state directory with everything in it" in done.stderr
    assert [file.name for file in root.rglob("*") if file.is_file()] == ["howdah.toml"]
    assert "not installed" in howdah("system", "uninstall", "--root", str(root)).stderr


def test_a_path_that_a_unit_cannot_have_is_refused(tmp_path: Path) -> None:
    done = howdah("system", "install", "--root", str(tmp_path), "--state", "/srv/my state%h")
    assert done.returncode == 1
    assert "'/srv/my state%h' cannot be written into a unit" in done.stderr


@pytest.mark.skipif(RUNNING_SYSTEMD.is_dir(), reason="systemd runs this machine")
@pytest.mark.parametrize("command", ["install", "uninstall", "status"])
def test_without_systemd_the_commands_say_so_and_change_nothing(command: str) -> None:
    done = howdah("system", command)
    assert done.returncode == 1
    assert "this machine is not run by systemd" in done.stderr
    assert not any(os.path.exists(f"/etc/systemd/system/{name}") for name in UNITS)
