"""Runs a program that reads what tenants wrote, so that a hole in it opens nothing.

As far as the kernel can (Landlock) it reads and writes the places it is given and the system's libraries, and no
others, and connects to no address.

``python -I -S confined.py [--read PLACE] … [--write PLACE] … [--largest BYTES] [--ends PARENT] [--alone yes] --
PROGRAM …`` becomes that program. Numbers: landlock(7), prctl(2), seccomp(2).
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/dev/urandom")
_BARE_SYSTEM = (
    *("/usr", "/lib", "/lib64", "/bin", "/dev/urandom"),
    *("/etc/ld.so.cache", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/localtime"),
)
"""Without settings of this machine, in which there may be keys: who runs code there may be told what it says."""

_DEVICES = ("/dev/null",)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_END_WITH_PARENT, _NO_NEW_PRIVILEGES = 1, 38
_READ = 1 << 0 | 1 << 2 | 1 << 3
"""Execute, read files, read directories."""

_ON_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14
"""What a rule for a single file may name: execute, write, read, truncate."""

_FILES_BY_ABI = {1: 13, 2: 14, 3: 15}
"""How many kinds of access to files each version knows; a later one has none more that matter here."""

_NETWORK_SINCE, _SCOPES_SINCE = 4, 6

_MACHINES = {"x86_64": (0xC000003E, 42, 41), "aarch64": (0xC00000B7, 203, 198)}
"""What seccomp calls each (linux/audit.h), and the numbers of its calls connect and socket."""

_IO_URING_SETUP, _OTHER_CALLS = 425, 0x40000000
_SET_SECCOMP, _FILTER, _UNIX = 22, 2, 1
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOWED, _REFUSED = 0x7FFF0000, 0x00050000 | 13


def confined(
    command: Sequence[str],
    *,
    read: Iterable[Path] = (),
    write: Iterable[Path] = (),
    largest: int | None = None,
    outlives: bool = False,
    alone: bool = False,
) -> list[str]:
    """``command`` with what confines it before it.

    ``read``, ``write``: all that it may touch, beside the system's. ``largest``: bytes of a file that it may write.
    ``outlives``: it does not end with the thread that starts it. ``alone``: it reaches no Unix socket either, nor
    anything by UDP, which Landlock lets pass, nor reads ``/etc``; it can listen on Unix sockets of its own.
    """
    places = [part for place in read for part in ("--read", str(place))]
    places += [part for place in write for part in ("--write", str(place))]
    places += ["--largest", str(largest)] if largest is not None else []
    places += [] if outlives else ["--ends", str(os.getpid())]
    places += ["--alone", "yes"] if alone else []
    return [sys.executable, "-I", "-S", __file__, *places, "--", *command]


@cache
def can_confine() -> bool:
    """Whether this kernel has Landlock, without which nothing keeps a program from files."""
    return platform.machine() in _MACHINES and _abi(ctypes.CDLL(None, use_errno=True)) >= 1


def main() -> None:
    options, command = _split(sys.argv[1:])
    for parent in options["--ends"]:
        _checked(ctypes.CDLL(None, use_errno=True).prctl(_END_WITH_PARENT, signal.SIGKILL, 0, 0, 0))
        if os.getppid() != int(parent):
            return  # It has ended before it could take this along.
    for largest in options["--largest"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest), int(largest)))
    system = _BARE_SYSTEM if options["--alone"] else _SYSTEM
    _confine([*system, *options["--read"]], [*_DEVICES, *options["--write"]])
    if options["--alone"]:
        _leave_alone()
    os.execv(command[0], command)


def _split(arguments: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    end = arguments.index("--")
    options: dict[str, list[str]] = {"--read": [], "--write": [], "--largest": [], "--ends": [], "--alone": []}
    for name, value in zip(arguments[:end:2], arguments[1:end:2], strict=True):
        options[name].append(value)
    return options, arguments[end + 1 :]


def _confine(read: Sequence[str], write: Sequence[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    abi = _abi(libc)
    if abi < 1:
        return  # A kernel without it: SECURITY.md says what that means.
    files = (1 << _FILES_BY_ABI.get(abi, max(_FILES_BY_ABI.values()))) - 1
    network = 0b11 if abi >= _NETWORK_SINCE else 0
    scopes = 0b11 if abi >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", files, network, scopes)
    length = 24 if scopes else 16 if network else 8
    rules = _checked(libc.syscall(_CREATE_RULESET, attributes, length, 0))
    for place, access in [*((place, _READ) for place in read), *((place, files) for place in write)]:
        _allow(libc, rules, place, access & files)
    _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _checked(libc.syscall(_RESTRICT_SELF, rules, 0))
    os.close(rules)


def _abi(libc: ctypes.CDLL) -> int:
    """The version of Landlock; less than 1 without it."""
    return libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)


def _leave_alone() -> None:
    """Refuse connect, every socket that is not a Unix one, and calls of other kinds that could do the same."""
    architecture, connect, make_socket = _MACHINES[platform.machine()]
    # Each: code, what it compares with, and how many to skip when that is so and when not.
    steps = [
        (_LOAD, 4, 0, 0),
        (_EQUAL, architecture, 0, 8),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, _OTHER_CALLS, 6, 0),
        (_EQUAL, connect, 5, 0),
        (_EQUAL, _IO_URING_SETUP, 4, 0),
        (_EQUAL, make_socket, 0, 2),
        (_LOAD, 16, 0, 0),
        (_EQUAL, _UNIX, 0, 1),
        (_RETURN, _ALLOWED, 0, 0),
        (_RETURN, _REFUSED, 0, 0),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", step[0], *step[2:], step[1]) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _checked(libc.prctl(_SET_SECCOMP, _FILTER, program, 0, 0))


def _allow(libc: ctypes.CDLL, rules: int, place: str, access: int) -> None:
    try:
        handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not os.path.isdir(place):
        access &= _ON_FILES
    _checked(libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", access, handle), 0))
    os.close(handle)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "landlock")
    return result


if __name__ == "__main__":
    main()
