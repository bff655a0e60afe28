"""A service's control group, where this machine lets us make one."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from howdah.launcher import cgroups
from howdah.launcher.limits import Limits
from howdah.launcher.place import Place

NO_LIMITS = Limits(processes=None, open_files=100, memory_bytes=None)


@pytest.fixture
def group() -> Iterator[Path]:
    """A group of the test's own; it needs no controllers."""
    place = Place.own()
    if place is None or not os.access(place.mount, os.W_OK) or os.geteuid() != 0:
        pytest.skip("needs root and a cgroup v2 that can be written")
    parent = place.mount / place.path / f"howdah-test-{secrets.token_hex(4)}"
    parent.mkdir()
    yield parent
    parent.rmdir()


def test_a_server_and_all_it_starts_are_in_its_group_and_end_with_it(group: Path) -> None:
    own = cgroups.make(group, "one", NO_LIMITS)
    children = "setsid sleep 60 & setsid sleep 60 & echo ready; wait"
    with subprocess.Popen([*cgroups.prefix(own), "sh", "-c", children], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        pids = (own / "cgroup.procs").read_text().split()
        assert str(server.pid) in pids
        assert len(pids) == 3
        with pytest.raises(OSError, match="busy"):
            cgroups.remove(own)
        assert cgroups.kill(own)
        assert server.wait() == -signal.SIGKILL
    assert (own / "cgroup.procs").read_text() == ""
    cgroups.remove(own)
    assert not own.exists()


def test_one_that_is_gone_needs_no_killing_or_removing(group: Path) -> None:
    assert cgroups.kill(group / "never")
    cgroups.remove(group / "never")


def test_made_again_it_keeps_its_processes(group: Path) -> None:
    own = cgroups.make(group, "one", NO_LIMITS)
    with subprocess.Popen([*cgroups.prefix(own), "sh", "-c", "echo ready; sleep 60"], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        assert cgroups.make(group, "one", NO_LIMITS) == own
        assert str(server.pid) in (own / "cgroup.procs").read_text().split()
        assert cgroups.kill(own)
    cgroups.remove(own)


def test_a_program_does_not_start_outside_of_its_group(group: Path) -> None:
    done = subprocess.run([*cgroups.prefix(group / "never"), "echo", "started"], capture_output=True, check=False)
    assert done.returncode != 0
    assert done.stdout == b""
