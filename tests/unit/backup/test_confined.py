"""A program that reads what tenants wrote can touch what it was given, and nothing else of its user's."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from pathlib import Path

import pytest

from howdah.backup.confined import confined

ABI = ctypes.CDLL(None).syscall(444, None, 0, 1)
pytestmark = pytest.mark.skipif(ABI < 1, reason="this kernel has no Landlock, or it is switched off")


def run(script: str, *, read: Path | None = None, write: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = confined(["/bin/bash", "-c", script], read=[read] if read else [], write=[write] if write else [])
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_reads_what_it_may_and_nothing_else(tmp_path: Path):
    for name in ("mine", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    assert run(f"cat {tmp_path}/mine/file", read=tmp_path / "mine").stdout == "mine"
    refused = run(f"cat {tmp_path}/secret/file", read=tmp_path / "mine")
    assert refused.returncode != 0
    assert "Permission denied" in refused.stderr
    assert "Permission denied" in run(f"ls {tmp_path}", read=tmp_path / "mine").stderr


def test_it_writes_where_it_may_and_nowhere_else(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "other").mkdir()
    done = run(f"mkdir {tmp_path}/mine/new && mv {tmp_path}/mine/new {tmp_path}/mine/moved", write=tmp_path / "mine")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine/moved").is_dir()
    for harm in (f"touch {tmp_path}/other/file", f"mv {tmp_path}/mine/moved {tmp_path}/other/", "touch /tmp/howdah-x"):
        assert run(harm, write=tmp_path / "mine").returncode != 0, harm
    assert "denied" in run(f"touch {tmp_path}/mine/file", read=tmp_path / "mine").stderr


def test_it_sees_nothing_of_other_processes_of_its_user():
    assert "denied" in run(f"cat /proc/{os.getpid()}/environ").stderr


@pytest.mark.skipif(ABI < 4, reason="Landlock of this kernel does not know of the network")
def test_it_connects_to_no_address():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert run(f"exec 3<>/dev/tcp/127.0.0.1/{port}").returncode != 0


def test_it_is_the_program_that_was_meant(tmp_path: Path):
    assert run("echo $0 $$; exit 7").returncode == 7


def test_one_that_is_to_be_alone_does_not_read_the_settings_of_the_machine():
    command = confined(["/bin/bash", "-c", "cat /etc/passwd >/dev/null && cat /etc/hosts"], alone=True)
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.stdout, "/etc/hosts: Permission denied" in ran.stderr) == ("", True), ran.stderr


def test_it_does_not_begin_when_who_wanted_it_has_ended_already():
    command = confined(["/bin/bash", "-c", "echo begun"])
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == "begun\n"
    late = ["/bin/bash", "-c", '"$@" & wait', "bash", *command]
    assert subprocess.run(late, capture_output=True, text=True, check=False).stdout == ""


_CALLS = """
import socket, sys
def tried(family, kind, act):
    try:
        with socket.socket(family, kind) as made:
            act(made)
        return "done"
    except OSError as error:
        return type(error).__name__
udp = lambda made: made.sendto(b"x", ("127.0.0.1", int(sys.argv[2])))
print(
    tried(socket.AF_UNIX, socket.SOCK_STREAM, lambda made: made.connect(sys.argv[1])),
    tried(socket.AF_INET, socket.SOCK_DGRAM, udp),
    tried(socket.AF_UNIX, socket.SOCK_STREAM, lambda made: (made.bind(sys.argv[3]), made.listen())),
)
"""


@pytest.mark.parametrize(("alone", "said"), [(False, "done done done"), (True, "PermissionError PermissionError done")])
def test_one_that_is_to_be_alone_reaches_no_socket_of_its_user_but_listens_on_its_own(
    tmp_path: Path, alone: bool, said: str
):
    """Whoever reaches a server's Unix socket as the control plane's user is its superuser."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        listener.bind(str(tmp_path / "there"))
        listener.listen()
        receiver.bind(("127.0.0.1", 0))
        port = str(receiver.getsockname()[1])
        script = ["/usr/bin/python3", "-c", _CALLS, str(tmp_path / "there"), port, str(tmp_path / "own")]
        command = confined(script, write=[tmp_path], alone=alone)
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.stderr) == (said, "")
