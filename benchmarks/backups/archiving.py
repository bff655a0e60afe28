"""What archiving of WAL costs its server, and how far it is behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fixtures.server import eventually

from backups.barman import Barman
from backups.machine import quiet
from backups.rounds import rotated, say
from backups.service import Service

OFF, CONTROL, HOWDAH, COPY, BARMAN = "off", "off, again", "howdah", "archive_command = 'cp …'", "barman"
Load = Callable[[Service], float]
"""Returns what is done per second."""


@dataclass(frozen=True)
class Contestant:
    """``archived``: whether this segment and all before it are in the archive; called until it is.
    ``waiting``: bytes that are on their way. ``workers``: the processes that archive, but for what they start.
    """

    service: Service
    archived: Callable[[str], bool] = lambda _: True
    waiting: Callable[[], int] = lambda: 0
    workers: Callable[[], Iterable[int]] = lambda: ()


@dataclass
class Measured:
    """By turn. of_off: throughput by that of the two measurements without archiving before and after it. behind:
    seconds from the end of the load until everything was archived. waiting: bytes when the load ended; resting: when
    everything was archived. cores: processor time of the archiving by the time of the load."""

    throughput: list[float] = field(default_factory=list[float])
    of_off: list[float] = field(default_factory=list[float])
    behind: list[float] = field(default_factory=list[float])
    waiting: list[int] = field(default_factory=list[int])
    resting: list[int] = field(default_factory=list[int])
    cores: list[float] = field(default_factory=list[float])


def howdah(service: Service) -> Contestant:
    control_plane = service.server.process
    assert control_plane is not None
    return Contestant(
        service,
        service.archived,
        lambda: service.status()["waitingBytes"],
        lambda: (control_plane.pid, *_receivers(service, "howdah_archive")),
    )


def copying(service: Service) -> Contestant:
    """By the archiver of Postgres and cp."""
    directory = service.machine.top / "copied"
    directory.mkdir()
    directory.chmod(0o777)
    with service.connect() as connection:
        connection.execute("ALTER SYSTEM SET archive_mode = on")
        connection.execute(f"ALTER SYSTEM SET archive_command = '/bin/cp %p {directory}/%f'".encode())
    service.restart()

    def archived(segment: str) -> bool:
        return (service.query("SELECT last_archived_wal FROM pg_stat_archiver") or "") >= segment

    def workers() -> Iterable[int]:
        return (service.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'archiver'"),)

    return Contestant(service, archived, workers=workers)


def streaming(service: Service, barman: Barman) -> Contestant:
    """By barman's receive-wal; it moves WAL into its archive when the load is over."""

    def archived(segment: str) -> bool:
        if not barman.received(segment):
            return False
        barman.archive_wal()
        return barman.archived(segment)

    return Contestant(service, archived, workers=lambda: _receivers(service, "barman_receive_wal"))


def measure(
    what: str, off: Contestant, contestants: dict[str, Contestant], load: Load, turns: int
) -> dict[str, Measured]:
    """Between any two of the contestants it is measured without archiving: the machine may have changed."""
    results = {name: Measured() for name in (OFF, *contestants)}
    before = _measure(off, load, results[OFF])
    for turn in range(turns):
        for name, contestant in rotated(contestants, turn):
            found = _measure(contestant, load, results[name])
            after = _measure(off, load, results[OFF])
            results[name].of_off.append(2 * found / (before + after))
            before = after
        say(f"{what}: " + ", ".join(f"{name} {results[name].of_off[-1]:.2f}" for name in contestants))
    return results


def _measure(contestant: Contestant, load: Load, result: Measured) -> float:
    service = contestant.service
    service.checkpoint()
    quiet()
    workers = tuple(contestant.workers())
    worked, began = _processor_seconds(workers), time.perf_counter()
    result.throughput.append(load(service))
    ended = time.perf_counter()
    result.cores.append((_processor_seconds(workers) - worked) / (ended - began))
    result.waiting.append(contestant.waiting())
    segment = service.switch()
    eventually(f"{segment} is archived", lambda: contestant.archived(segment), within=300)
    result.behind.append(time.perf_counter() - ended)
    result.resting.append(contestant.waiting())
    return result.throughput[-1]


def _receivers(service: Service, name: str) -> tuple[int, ...]:
    """pg_receivewal and the process of the server that sends to it."""
    sender = service.query(f"SELECT pid FROM pg_stat_replication WHERE application_name = '{name}'")
    found = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and _receives(each, service)]
    return (sender, *found)


def _receives(process: Path, service: Service) -> bool:
    with suppress(OSError):
        arguments = (process / "cmdline").read_bytes().decode(errors="replace")
        return Path(arguments.split("\0")[0]).name == "pg_receivewal" and service.socket[0] in arguments
    return False


def _processor_seconds(pids: Iterable[int]) -> float:
    """Of these and of those of their children that have ended."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
