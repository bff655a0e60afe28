"""The set-up's decisions, made in a shell of its own with stand-ins for the system's programs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PARTS = ("say", "system", "python", "venv", "postgres")


class Shell:
    """Runs functions of the set-up; ``programs`` come first on PATH."""

    def __init__(self, directory: Path) -> None:
        self.programs = directory / "bin"
        self.programs.mkdir()

    def program(self, name: str, script: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def installed(self, *packages: str) -> None:
        """Exactly these packages are."""
        names = "|".join(packages) or "-"
        self.program("dpkg-query", f'case "${{@: -1}}" in {names}) echo -n installed;; *) exit 1;; esac')

    def offered(self, *packages: str) -> None:
        """The system's sources have exactly these."""
        names = "|".join(packages) or "-"
        self.program("apt-cache", f'case "${{@: -1}}" in {names}) echo "Package: ${{@: -1}}";; *) exit 100;; esac')

    def as_root(self, *, root: bool) -> None:
        self.program("id", f"echo {0 if root else 1000}")

    def run(self, commands: str, *, mode: str = "run", **env: str) -> subprocess.CompletedProcess[str]:
        sourced = "\n".join(f". {ROOT}/scripts/setup.d/{part}.sh" for part in PARTS)
        return subprocess.run(
            ["bash", "-c", f"set -euo pipefail\nMODE={mode}\n{sourced}\n{commands}"],
            env={"PATH": f"{self.programs}:{os.environ['PATH']}", "HOME": str(self.programs), **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


EVERYTHING_NEEDED = (
    *("libssl3", "libzstd1", "liblz4-1", "libxml2", "libgssapi-krb5-2", "zlib1g", "libreadline8", "tzdata"),
    *("ca-certificates", "util-linux"),
)
EVERYTHING = (
    *EVERYTHING_NEEDED,
    "libnss-myhostname",
    "nftables",
    "quota",
    "libossp-uuid16",
    "libxslt1.1",
    "curl",
    "jq",
    "postgresql-client",
)


def test_with_everything_there_nothing_is_asked_or_installed(shell: Shell) -> None:
    shell.installed(*EVERYTHING)
    shell.program("apt-get", "exit 99")
    for root in (True, False):
        shell.as_root(root=root)
        ran = shell.run("find_python() { true; }; install_system_packages")
        assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(("offered", "name"), [("libssl3", "libssl3"), ("libssl3t64", "libssl3t64")])
def test_a_user_is_told_what_is_missing_and_the_command_by_the_names_of_the_release(
    shell: Shell, offered: str, name: str
) -> None:
    shell.installed(*set(EVERYTHING) - {"libssl3", "libzstd1"})
    shell.offered(offered, "libzstd1")
    shell.as_root(root=False)
    ran = shell.run("find_python() { true; }; install_system_packages")
    assert ran.returncode == 1
    assert "missing and needed: libzstd1\n" in ran.stderr
    assert "missing and needed: libssl3t64 or libssl3\n" in ran.stderr
    assert f"sudo apt-get update && sudo apt-get install -y {name} libzstd1\n" in ran.stderr


def test_a_user_goes_on_without_what_can_be_done_without(shell: Shell) -> None:
    shell.installed(*EVERYTHING_NEEDED)
    shell.offered(*EVERYTHING)
    shell.as_root(root=False)
    ran = shell.run("find_python() { true; }; install_system_packages")
    assert ran.returncode == 0
    assert "missing, can do without: libnss-myhostname (the names of services (*.localhost) resolve)" in ran.stderr


def test_root_installs_what_is_missing_after_one_update(shell: Shell, tmp_path: Path) -> None:
    shell.installed(*set(EVERYTHING) - {"libssl3", "jq"})
    shell.offered(*EVERYTHING, "libssl3t64")
    shell.as_root(root=True)
    shell.program("apt-get", f'echo "$DEBIAN_FRONTEND $*" >>{tmp_path}/calls')
    ran = shell.run("find_python() { true; }; install_system_packages")
    assert ran.returncode == 0, ran.stderr
    update, install = (tmp_path / "calls").read_text().splitlines()
    assert update.startswith("noninteractive -y ")
    assert update.endswith(" update")
    assert install.endswith(" install --no-install-recommends jq libssl3t64")


def test_root_without_a_python_gets_one(shell: Shell, tmp_path: Path) -> None:
    shell.installed(*EVERYTHING)
    shell.offered(*EVERYTHING, "python3", "python3-venv")
    shell.as_root(root=True)
    shell.program("apt-get", f'echo "$*" >>{tmp_path}/calls')
    ran = shell.run("find_python() { false; }; install_system_packages")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "calls").read_text().endswith(" python3 python3-venv\n")


def test_a_package_that_no_source_has_stops_root_when_it_is_needed_and_only_then(shell: Shell, tmp_path: Path) -> None:
    shell.program("apt-get", f'echo "$*" >>{tmp_path}/calls')
    shell.as_root(root=True)
    shell.offered()
    shell.installed(*EVERYTHING_NEEDED)
    ran = shell.run("find_python() { true; }; install_system_packages")
    assert (ran.returncode, "libossp-uuid16 is not offered here" in ran.stderr) == (0, True)
    shell.installed(*set(EVERYTHING) - {"libzstd1"})
    ran = shell.run("find_python() { true; }; install_system_packages")
    assert ran.returncode == 1
    assert "needed, but this system's package sources do not offer: libzstd1" in ran.stderr


def test_a_failed_step_is_tried_three_times_and_explained(shell: Shell, tmp_path: Path) -> None:
    shell.program("sleep", "exec /bin/sleep 0.01")
    shell.program(
        "flaky", f'echo no route to host; echo x >>{tmp_path}/calls; [[ $(wc -l <{tmp_path}/calls) == "$1" ]]'
    )
    assert shell.run("retried 'is there a network?' 'fetching' flaky 3").returncode == 0
    (tmp_path / "calls").unlink()
    ran = shell.run("retried 'is there a network?' 'fetching' flaky 9")
    assert ran.returncode == 1
    assert ran.stderr.count("no route to host") == 3
    assert ran.stderr.endswith("! is there a network?\n")


def test_a_python_that_is_too_old_is_passed_over_and_said(shell: Shell) -> None:
    shell.program("python3", "exit 1")
    shell.as_root(root=False)
    ran = shell.run("find_python; echo $PYTHON")
    assert ran.returncode == 0, ran.stderr
    assert f"not using {shell.programs}/python3: it is older than 3.11 or does not run" in ran.stderr
    assert Path(ran.stdout.strip()).is_file()


def test_the_python_that_is_asked_for_is_the_only_candidate(shell: Shell) -> None:
    shell.as_root(root=False)
    ran = shell.run("require_python", HOWDAH_PYTHON="/nowhere/python3")
    assert ran.returncode == 1
    assert "HOWDAH_PYTHON=/nowhere/python3 cannot be used: it is not there or not executable" in ran.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a choice to make for other users")
def test_root_passes_over_a_python_that_other_users_cannot_run(shell: Shell, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--copies", "--without-pip", str(private)], check=True)
    private.chmod(0o700)
    shell.program("python3", f'exec {private}/bin/python3 "$@"')
    ran = shell.run(f"real_python() {{ echo {private}/bin/python3; }}; python_objection {shell.programs}/python3")
    assert "other users cannot run" in ran.stdout


def test_a_change_of_the_lock_makes_the_environment_out_of_date(shell: Shell, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / ".venv").mkdir(parents=True)
    (checkout / "scripts" / "setup.d").mkdir(parents=True)
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml", "scripts/setup", "scripts/setup.d/x"):
        (checkout / name).write_text(name)
    ask = f"cd {checkout}; VENV=.venv INSTALL=editable; "
    assert shell.run(ask + "stamp_matches run").returncode == 1
    assert shell.run(ask + "mark_set_up; stamp_matches run").returncode == 0
    (checkout / "requirements.lock").write_text("other")
    assert shell.run(ask + "stamp_matches run").returncode == 1
