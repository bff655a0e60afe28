"""What archiving of WAL costs its server, and how far it is behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fixtures.server import eventually

from backups.barman import Barman
from backups.machine import quiet
from backups.rounds import rotated, say
from backups.service import Service

OFF, AGAIN, HOWDAH, COPY, BARMAN = "off", "off, again", "howdah", "archive_command = 'cp …'", "barman"
Load = Callable[[Service], float]


@dataclass(frozen=True)
class Contestant:
    """``archived``: whether this segment and all before it are in the archive; called until it is."""

    service: Service
    archived: Callable[[str], bool]
    waiting: Callable[[], int] | None = None


@dataclass
class Measured:
    """By turn. behind: seconds from the end of the load until everything was archived. waiting: bytes when it ended."""

    throughput: list[float] = field(default_factory=list[float])
    behind: list[float] = field(default_factory=list[float])
    waiting: list[int] = field(default_factory=list[int])


def off(service: Service) -> Contestant:
    return Contestant(service, lambda _: True)


def howdah(service: Service) -> Contestant:
    return Contestant(service, service.archived, lambda: service.status()["waitingBytes"])


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

    return Contestant(service, archived)


def streaming(service: Service, barman: Barman) -> Contestant:
    """By barman's receive-wal; it moves WAL into its archive when the load is over."""

    def archived(segment: str) -> bool:
        if not barman.received(segment):
            return False
        barman.archive_wal()
        return barman.archived(segment)

    return Contestant(service, archived)


def measure(what: str, contestants: dict[str, Contestant], load: Load, turns: int) -> dict[str, Measured]:
    results = {name: Measured() for name in contestants}
    for turn in range(turns):
        for name, contestant in rotated(contestants, turn):
            _measure(contestant, load, results[name])
        rates = ", ".join(f"{name} {results[name].throughput[-1]:,.0f}" for name in contestants)
        say(f"{what}: {rates} per s")
    return results


def _measure(contestant: Contestant, load: Load, result: Measured) -> None:
    contestant.service.checkpoint()
    quiet()
    result.throughput.append(load(contestant.service))
    ended = time.perf_counter()
    if contestant.waiting is not None:
        result.waiting.append(contestant.waiting())
    segment = contestant.service.switch()
    eventually(f"{segment} is archived", lambda: contestant.archived(segment), within=300)
    result.behind.append(time.perf_counter() - ended)
