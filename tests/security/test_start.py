"""A start as root that is refused, or meets a caller with open and closed files of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from fixtures.server import Server, eventually, open_files

import howdah

UNUSUAL = 'exec 9</etc/shadow; exec "$@" <&- >&-'
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only a start as root divides")


def test_a_howdah_that_is_not_installed_says_so(tmp_path: Path) -> None:
    """The launcher follows no PYTHONPATH."""
    installed, source = sysconfig.get_path("purelib"), str(Path(howdah.__file__).parents[1])
    said = subprocess.run(
        [os.path.realpath(sys.executable), "-m", "howdah", "serve", "--state", str(tmp_path / "state")],
        env=os.environ | {"PYTHONPATH": f"{source}:{installed}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert said.returncode == 1
    assert "must be installed in its Python" in said.stderr
    assert not (tmp_path / "state").exists()


def test_a_caller_leaves_no_open_file_to_the_system_user_and_may_have_closed_its_streams(
    monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    started = subprocess.Popen
    server.kill()
    before = server.log

    def unusual(command: list[str], **options: Any) -> subprocess.Popen[Any]:
        return started(["/bin/sh", "-c", UNUSUAL, "sh", *command], **options)

    monkeypatch.setattr(subprocess, "Popen", unusual)
    server.spawn()
    monkeypatch.undo()
    eventually("it is ready", lambda: "Credentials" in server.log[len(before) :], within=120)
    assert server.process is not None
    opened = open_files(server.process.pid)
    assert (opened["0"], opened["1"]) == ("/dev/null", "/dev/null")
    assert "/etc/shadow" not in opened.values()
