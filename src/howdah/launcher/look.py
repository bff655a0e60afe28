"""One look at an instance: what is on disk, what runs. Takes well under a millisecond."""

from __future__ import annotations

import calendar
import hashlib
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from howdah.domain.instances import Instance
from howdah.launcher.files import is_plain_directory, read_foreign, read_own
from howdah.launcher.layout import CONFIGURATION_FILES, InstancePaths, Layout
from howdah.launcher.processes import ProcessFacts, all_pids, inspect_process
from howdah.launcher.rights import Rights

PID_FILE = "postmaster.pid"
LOGS = tuple(f"postgres-{day}.{kind}" for day in calendar.day_abbr for kind in ("json", "log"))
"""What a server writes to its log directory: one file for each day of the week."""

_SHUT_DOWN = 1
"""``DB_SHUTDOWNED``."""

_LED = frozenset({_SHUT_DOWN, 3, 4, 6})
"""``DBState`` of a server that was no standby: shut down, shutting down, recovering from a crash, in production."""

INSTANCE = "howdah.instance"
"""A setting of ours on the command line: by it a running server says which instance it is."""


@dataclass(frozen=True, slots=True)
class Look:
    """initialised: our own record that it has been seeded. data: its data directory is there.
    archived_wal: WAL to be replayed lies in it. configuration: the digest of its files, None when one is missing.
    applied: our note of what took effect.
    pid_file: its postmaster.pid, which is its tenant's and only a hint. server: its postmaster."""

    initialised: bool
    data: bool
    archived_wal: bool
    configuration: str | None
    applied: bytes | None
    pid_file: bytes
    server: ProcessFacts | None


def look(layout: Layout, rights: Rights, instance: Instance, watched: int | None) -> Look:
    """watched: the pid of its postmaster, where that is known and held by a pidfd."""
    paths = layout.of(instance)
    content = read_pid_file(paths, rights, instance)
    if watched is not None:
        server = inspect_process(watched)
    else:
        noted = noted_pid(content)
        found = inspect_process(noted) if noted is not None else None
        server = found if found is not None and is_server(found, layout, rights, instance) else None
    return Look(
        initialised=paths.initialised.exists(),
        data=is_plain_directory(paths.data),
        archived_wal=is_plain_directory(paths.archived_wal),
        configuration=_configuration(paths),
        applied=read_own(paths.applied),
        pid_file=content,
        server=server,
    )


def read_pid_file(paths: InstancePaths, rights: Rights, instance: Instance) -> bytes:
    """Nothing when there is none that plainly is its tenant's."""
    return read_foreign(paths.data, PID_FILE, owner=rights.owner(instance.uid), most=4096) or b""


def shut_down_at(layout: Layout, rights: Rights, instance: Instance) -> int | None:
    """The LSN of the record with which a server that has ended said so; None when it was not shut down cleanly.

    Layout: Postgres' src/include/catalog/pg_control.h (``ControlFileData``), on 64-bit little-endian machines.
    """
    paths = layout.of(instance)
    content = read_foreign(paths.data / "global", "pg_control", owner=rights.owner(instance.uid), most=40)
    if content is None or len(content) < 40:
        return None
    state, checkpoint = struct.unpack_from("<i", content, 16)[0], struct.unpack_from("<Q", content, 32)[0]
    return checkpoint if state == _SHUT_DOWN else None


def last_ran(layout: Layout, rights: Rights, instance: Instance) -> tuple[bool, int] | None:
    """Whether the last server in its data directory was a primary, and on which timeline its WAL ends; None when nobody
    can tell. Layout: as for ``shut_down_at``; the second timeline is ``minRecoveryPointTLI``, which a promotion writes
    before it lets clients in.
    """
    paths, owner = layout.of(instance), rights.owner(instance.uid)
    content = read_foreign(paths.data / "global", "pg_control", owner=owner, most=148)
    if content is None or len(content) < 148:
        return None
    state, checkpoint, recovery = (struct.unpack_from("<i", content, at)[0] for at in (16, 48, 144))
    # A copy of a primary that no server has run in says what that was.
    is_copy = read_foreign(paths.data, "backup_label", owner=owner, most=1) is not None
    return state in _LED and not is_copy, max(checkpoint, recovery)


def noted_pid(pid_file: bytes) -> int | None:
    first = pid_file.partition(b"\n")[0]
    return int(first) if first.isdigit() and len(first) < 10 else None


def is_server(facts: ProcessFacts, layout: Layout, rights: Rights, instance: Instance) -> bool:
    """Whether a process is this instance's postmaster: our program, its uid, its directory, its command line. The
    kernel decides: what its tenant can write does not."""
    data = str(layout.of(instance).data)
    return (
        facts.uid == rights.owner(instance.uid)
        and facts.executable.startswith(f"{layout.binaries}/")
        and facts.executable.endswith("/bin/postgres")
        and facts.arguments[1:3] == ("-D", data)
        and f"--{INSTANCE}={instance.id.ubid}" in facts.arguments
        and facts.directory in (data, "/")
    )


def find_servers(layout: Layout, rights: Rights, instances: Sequence[Instance]) -> Iterator[tuple[Instance, int, int]]:
    """Which of the instances run, each with its postmaster's pid and start; also those whose postmaster.pid is gone."""
    by_mark = {f"--{INSTANCE}={instance.id.ubid}": instance for instance in instances}
    for pid in all_pids():
        facts = inspect_process(pid)
        if facts is None or not facts.executable.endswith("/bin/postgres"):
            continue
        for mark in by_mark.keys() & set(facts.arguments):
            if is_server(facts, layout, rights, by_mark[mark]):
                yield by_mark[mark], facts.pid, facts.started


def read_log(layout: Layout, rights: Rights, instance: Instance, most: int) -> tuple[bytes, bytes]:
    """The ends of its log of today and of what it printed at its last start, at most ``most`` bytes each."""
    paths = layout.of(instance)
    name = f"postgres-{time.strftime('%a', time.gmtime())}.json"
    logged = read_foreign(paths.log, name, owner=rights.owner(instance.uid), most=most, tail=True)
    printed = read_foreign(paths.conf, paths.startup_log.name, owner=rights.owner(instance.uid), most=most, tail=True)
    return logged or b"", printed or b""


def digest_of(files: Mapping[str, bytes]) -> str:
    """Names the content of an instance's configuration files."""
    total = hashlib.sha256()
    for name in CONFIGURATION_FILES:
        total.update(hashlib.sha256(files[name]).digest())
    return total.hexdigest()[:24]


def _configuration(paths: InstancePaths) -> str | None:
    files: dict[str, bytes] = {}
    for name in CONFIGURATION_FILES:
        content = read_own(paths.home / name)
        if content is None:
            return None
        files[name] = content
    return digest_of(files)
