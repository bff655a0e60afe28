"""Processes are ended, whatever keeps them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from howdah.cli.processes import end
from howdah.launcher.processes import children

_WAITS_FOR_ITS_CHILD = """
import signal, subprocess, sys
child = subprocess.Popen(["sleep", "60"])
def shut_down(*_):
    child.terminate()
    child.wait()
    sys.exit()
signal.signal(signal.SIGINT, shut_down)
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    """It ends after its child has."""
    with subprocess.Popen([sys.executable, "-c", _WAITS_FOR_ITS_CHILD], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def test_a_server_that_is_suspended_with_all_its_processes_ends(server: subprocess.Popen[bytes]) -> None:
    for pid in (server.pid, *children(server.pid)):
        os.kill(pid, signal.SIGSTOP)
    assert end([server.pid], signal.SIGINT, within=20) == []
