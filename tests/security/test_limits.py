"""What a service may take of the machine, with the limits that it is started with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.server import eventually
from security.network import as_user

from howdah.launcher.limits import Limits, limits_for, prefix
from howdah.launcher.processes import pids_of_user

TENANT = 260_000 + os.getpid() % 9000  # one for each process that runs tests
LIMITS = Limits(processes=60, open_files=100, memory_bytes=256 << 20)
CAP_SYS_RESOURCE = int(Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0], 16) & 1 << 24
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process as another user")


@pytest.fixture
def tenant() -> Iterator[int]:
    kill_all(TENANT)
    yield TENANT
    kill_all(TENANT)


def kill_all(uid: int) -> None:
    """Zombies too count as processes, until whoever inherited them has looked."""

    def none_left() -> bool:
        if subprocess.run(["ps", "-U", str(uid), "-o", "pid="], capture_output=True, check=False).stdout == b"":
            return True
        subprocess.run(as_user(uid, "sh", "-c", "kill -KILL -1"), check=False)
        return False

    eventually("the tenant's processes are gone", none_left)


def limited(uid: int, *command: str, limits: Limits = LIMITS) -> list[str]:
    return [*prefix(limits), *as_user(uid, *command)]


def python(uid: int, script: str) -> str:
    """What a script prints that runs with a service's rights and limits."""
    command = limited(uid, sys.executable, "-I", "-c", script)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs_root
def test_a_fork_bomb_ends_at_the_limit_and_the_service_starts_again(tenant: int) -> None:
    bomb = "bomb() { bomb | bomb & bomb; }; bomb"
    with subprocess.Popen(limited(tenant, "sh", "-c", bomb), stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert "ork" in running.stderr.readline()  # Cannot fork
        assert len(pids_of_user(tenant)) <= 60
        running.kill()
    kill_all(tenant)
    assert python(tenant, "print('started')") == "started"


@needs_root
def test_just_as_many_processes_as_allowed_can_be_had(tenant: int) -> None:
    fork_all = """
import os, signal
children = []
try:
    while pid := os.fork():
        children.append(pid)
    else:
        signal.pause()
except BlockingIOError:
    print(1 + len(children))
for child in children:
    os.kill(child, signal.SIGKILL)
"""
    assert python(tenant, fork_all) == "60"


@needs_root
def test_the_services_own_user_is_limited_and_nobody_else(tenant: int) -> None:
    with subprocess.Popen(limited(tenant, "sleep", "60")) as running:
        other = limited(tenant + 1, "true", limits=Limits(processes=1, open_files=100, memory_bytes=None))
        assert subprocess.run(other, check=False).returncode == 0
        running.kill()


@needs_root
def test_nothing_of_it_can_be_raised_again(tenant: int) -> None:
    raise_all = """
import json, resource
refused = []
for name in ("NPROC", "NOFILE", "DATA", "CORE"):
    number = getattr(resource, "RLIMIT_" + name)
    hard = resource.getrlimit(number)[1]
    try:
        resource.setrlimit(number, (hard + 1, hard + 1))
    except (ValueError, PermissionError):
        refused.append([name, hard])
print(json.dumps(refused))
"""
    limits = {"NPROC": 60, "NOFILE": 100, "DATA": 256 << 20, "CORE": 0}
    assert dict(json.loads(python(tenant, raise_all))) == limits


@needs_root
@pytest.mark.skipif(not CAP_SYS_RESOURCE, reason="root lacks CAP_SYS_RESOURCE here; without it this cannot be pinned")
def test_it_cannot_have_others_killed_in_its_place(tenant: int) -> None:
    lower = """
try:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("0")
except PermissionError:
    print(open("/proc/self/oom_score_adj").read())
"""
    assert python(tenant, lower) == "500"


@needs_root
def test_it_is_the_first_to_go_when_memory_runs_out(tenant: int) -> None:
    assert python(tenant, "print(open('/proc/self/oom_score_adj').read())") == "500"


@needs_root
def test_memory_ends_for_the_process_that_takes_too_much_of_it(tenant: int) -> None:
    take = "try: bytearray(300 << 20)\nexcept MemoryError: print('out of memory')"
    assert python(tenant, take) == "out of memory"


def test_the_limits_of_an_ordinary_user_need_no_rights() -> None:
    from howdah.domain.catalog import default_catalog

    size = next(iter(default_catalog().sizes.values()))
    command = prefix(limits_for(size, max_connections=75, own_user=False))
    if os.geteuid() == 0:
        command = as_user(65534, *command)
    done = subprocess.run([*command, "sh", "-c", "ulimit -n"], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("4096", "")
