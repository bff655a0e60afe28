"""A service with `sync` under faults at random moments: what its clients saw is explained by one list for each key."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from fixtures.disk import MIB, Disk, disk_of_its_own, server_on
from fixtures.server import Server, alive

from ha.clients import Clients, appending
from ha.history import Append, Outcome, check
from ha.service import (
    HaService,
    Postmaster,
    end,
    resume,
    running_postmasters,
    suspend,
    watched,
    with_standbys,
)
from howdah.launcher.processes import children, title

# Taken out: Howdah refuses variables that it does not know.
SEED = int(os.environ.pop("HOWDAH_HISTORY_SEED", random.SystemRandom().randrange(1_000_000)))
MINUTES = float(os.environ.pop("HOWDAH_HISTORY_MINUTES", "10"))
SHORT_SECONDS = 15.0
HEALS_SECONDS = 120.0


@dataclass
class Chaos:
    """Faults at random moments. ``disk``: where the service has one of its own. ``stopped``: processes that are
    suspended, by the server that they belong to. ``full``: the disk has been filled."""

    service: HaService
    chance: random.Random
    disk: Disk | None = None
    began: float = field(default_factory=time.monotonic)
    stopped: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    full: bool = False
    faults: int = 0
    done: list[str] = field(default_factory=list[str])

    def run(self, seconds: float, clients: Clients) -> None:
        faults = [self.kill_primary, self.suspend_primary, self.suspend_standby, self.empty_one, self.switch]
        faults += [self.kill_control_plane, self.kill_all, self.cut_connections, self.cut_receivers, self.kill_router]
        faults += [self.fill_disk] if self.disk is not None else []
        queue: list[Callable[[], str | None]] = []
        while time.monotonic() - self.began < seconds:
            if not queue:
                queue = self.chance.sample(faults, len(faults))  # Each comes in time, in any order.
            fault = queue.pop()
            said = fault()
            self.faults += said is not None
            self.note(f"{fault.__name__}: {said}" if said is not None else f"{fault.__name__}: not now")
            # Some faults come while the one before is still being mended, others after it.
            if self.chance.random() < 0.6 and not self.stopped and not self.full:
                clients.goes_on()
            time.sleep(self.chance.uniform(0, 4))
            for leader in [one for one in self.stopped if self.chance.random() < 0.5]:
                self.resume(leader)
            if self.chance.random() < 0.4:
                self.make_room()
        self.end()

    def end(self) -> None:
        """Nothing is broken any more that does not heal by itself."""
        for leader in list(self.stopped):
            self.resume(leader)
        self.make_room()

    def note(self, what: str) -> None:
        self.done.append(f"{time.monotonic():.3f} {what}")
        print(self.done[-1], flush=True)

    # -- what breaks; each says whom it met, None when there was nobody

    def kill_primary(self) -> str | None:
        return None if (found := self._primary()) is None else self._end(found)

    def suspend_primary(self) -> str | None:
        return None if (found := self._primary()) is None else self._suspend(found)

    def suspend_standby(self) -> str | None:
        found = self.service.standbys()
        return self._suspend(self.chance.choice(found)) if found else None

    def empty_one(self) -> str | None:
        """Only while all have everything: data that two members lose one after the other may be all that there are."""
        if self.stopped or self.full:
            return None
        self.service.wait_until_healthy(2, within=HEALS_SECONDS)
        members = self.service.members()
        found = self.chance.choice(members)
        data, whole = self.service.data(found["id"]), self.chance.random() < 0.5
        _empty(data)
        if whole:
            shutil.rmtree(data, ignore_errors=True)
        return f"{found['role']} {found['id']}{' with its directory' if whole else ''}"

    def switch(self) -> str | None:
        answer = self.service.server.client.request(
            "PATCH", f"{self.service.server.services}/{self.service.id}/state", json={"command": "switchover"}
        )
        return f"{answer.status_code}"

    def kill_control_plane(self) -> str | None:
        leader = self._primary() if self.chance.random() < 0.5 else None
        self.service.server.kill()
        said = self._end(leader) if leader is not None else "alone"
        self.service.server.start(until="/healthz" if self.full else "/readyz")
        return said

    def kill_all(self) -> str | None:
        return ", ".join(self._end(one) for one in self.service.postmasters().values())

    def cut_connections(self) -> str | None:
        """Of clients and standbys to the primary."""
        if (found := self._primary()) is None:
            return None
        with suppress(psycopg.Error), self.service.directly(found) as connection:
            cut = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()"
            ).fetchall()
            return f"{found.instance}, {cut[0][0]} of them"
        return None

    def cut_receivers(self) -> str | None:
        """Processes by which standbys receive end, as asked or not: the rest of a standby recovers from that."""
        how = self.chance.choice([signal.SIGTERM, signal.SIGKILL])
        pids = [pid for one in self.service.standbys() for pid in children(one.pid) if _is_receiver(pid)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, how)
        return f"{len(pids)}, by {how.name}" if pids else None

    def kill_router(self) -> str | None:
        """With it every connection of a client."""
        with suppress(ProcessLookupError, FileNotFoundError):
            os.kill(router := self.service.server.router(), signal.SIGKILL)
            return f"{router}"
        return None

    def fill_disk(self) -> str | None:
        """Almost, and the primary goes on to write; or to the last byte."""
        assert self.disk is not None
        if self.full:
            return None
        self.full = True
        left = self.chance.choice([0, self.chance.randrange(1, 32)]) * MIB
        self.disk.fill(leave=left)
        found = self._primary()
        with suppress(psycopg.Error):
            if found is not None and self.chance.random() < 0.7:
                with self.service.directly(found) as connection:
                    for _ in range(12):
                        connection.execute("SELECT pg_logical_emit_message(false, 'much', repeat('x', 4000000))")
        return f"all but {left} bytes"

    def make_room(self) -> None:
        if self.disk is not None and self.full:
            self.disk.make_room()
            self.full = False
            self.note("there is room again")

    def resume(self, leader: int) -> None:
        """Pids may be somebody else's by now: only what belongs to a server that lives still is continued."""
        processes = self.stopped.pop(leader)
        if alive(leader) and leader in {one.pid for one in running_postmasters()}:
            mine = {leader, *children(leader)}
            for pid in processes:
                if pid in mine:
                    resume(Postmaster("", pid, 0))
            self.note(f"resumed {leader}")

    def _primary(self) -> Postmaster | None:
        leaders = [one["id"] for one in self.service.members() if one["role"] == "primary"]
        there = self.service.postmasters()
        return next((there[one] for one in leaders if one in there), None)

    def _end(self, server: Postmaster) -> str:
        with suppress(ProcessLookupError):
            end(server)
        return server.instance

    def _suspend(self, server: Postmaster) -> str:
        """Its first process alone, or all of them."""
        whole = self.chance.random() < 0.5
        processes = [server.pid, *(children(server.pid) if whole else ())]
        self.stopped.setdefault(server.pid, []).extend(processes)
        for pid in processes:
            with suppress(ProcessLookupError):
                suspend(Postmaster(server.instance, pid, server.port))
        return f"{server.instance} ({'all of it' if whole else 'the postmaster'}, {server.pid})"


def _is_receiver(pid: int) -> bool:
    return "walreceiver" in title(pid)


def _empty(data: Path) -> None:
    with suppress(FileNotFoundError):
        for entry in list(data.iterdir()):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def survives(server: Server, seconds: float, disk: Disk | None = None) -> None:
    print(f"HOWDAH_HISTORY_SEED={SEED}", flush=True)
    service = with_standbys(server, "sync")
    with watched(service), appending(service, clients=4, seed=SEED) as clients:
        chaos = Chaos(service, random.Random(SEED), disk)
        try:
            chaos.run(seconds, clients)
            service.wait_until_healthy(2, within=HEALS_SECONDS)
            clients.goes_on()
        finally:
            chaos.end()
    wrong = check(clients.operations, clients.final())
    appends = [one for one in clients.operations if isinstance(one, Append)]
    outcomes = {outcome.value: sum(one.outcome is outcome for one in appends) for outcome in Outcome}
    print(f"{chaos.faults} faults, {len(clients.operations)} operations, appends: {outcomes}")
    print(f"refused connections: {clients.refused}")
    print(f"changes of the primary: {[(one['kind'], one['cause']) for one in service.changes()]}")
    assert not wrong, "\n".join([*wrong[:20], *chaos.done])


@pytest.mark.timeout(SHORT_SECONDS + 2 * HEALS_SECONDS + 120)
def test_what_clients_saw_is_right_after_some_faults(server: Server) -> None:
    survives(server, SHORT_SECONDS)


@pytest.mark.long
@pytest.mark.timeout(MINUTES * 60 + 2 * HEALS_SECONDS + 120)
def test_what_clients_saw_is_right_after_many_faults(new_server: Callable[..., Server]) -> None:
    if os.geteuid() != 0:  # Only root can mount the disk that is filled.
        survives(new_server(), MINUTES * 60)
        return
    with disk_of_its_own(size_mib=3000) as disk, server_on(disk) as server:
        survives(server, MINUTES * 60, disk)
