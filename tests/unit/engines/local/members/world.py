"""A model of the machines below the planner: servers with WAL, clients that commit, and everything that breaks.

WAL is a list of commits, an LSN how many of them there are. A standby receives by position and timeline alone, as
Postgres does: whether what it has is what the primary has, only the model knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from unit.engines.local.members.servers import SERVICE, Config, Process, Server, identifier

from howdah.domain.ids import InstanceId
from howdah.domain.instances import Instance, Role
from howdah.domain.states import HaType
from howdah.engines.local.members.comparing import Last
from howdah.engines.local.members.view import Member, View
from howdah.engines.local.observed import Observed, Phase, Running, Wanted


@dataclass(frozen=True)
class Older:
    """What a copy of the store has."""

    registered: dict[int, Instance | None]
    ha_type: HaType
    changes: int
    incomplete: bool


@dataclass
class World:
    """``acknowledged``: commits whose clients have been told. ``leaving``: a standby that is about to lose its data.
    ``judged``: standbys that the control plane takes for useless. ``full``: the disk that they share is. ``copied``: an
    older store. ``unconfirmed``: it was put back, and what runs was not compared with it yet."""

    ha_type: HaType
    servers: dict[int, Server] = field(default_factory=dict[int, Server])
    acknowledged: set[int] = field(default_factory=set[int])
    changes: int = 0
    incomplete: bool = False
    switchover: int = 0
    accept_loss: int = 0
    leaving: int | None = None
    refused: bool = False
    prepared: bool = False
    replicated: object = None
    full: bool = False
    judged: set[int] = field(default_factory=set[int])
    commits: int = 0
    copied: Older | None = None
    unconfirmed: bool = False
    pids: int = 0

    # -- what there is

    def members(self) -> list[Server]:
        return [one for one in self.servers.values() if one.registered is not None]

    def primary(self) -> Server | None:
        return next((one for one in self.members() if one.role() is Role.PRIMARY), None)

    def primary_writes(self) -> bool:
        leader = self.primary()
        return leader is not None and leader.writes

    def primary_wal(self) -> tuple[int, ...]:
        leader = self.primary()
        return leader.wal if leader is not None else ()

    def wanted(self, server: Server) -> Config:
        leader = self.primary()
        waits = leader is not None and leader.registered is not None and leader.registered.waits
        if self.ha_type is HaType.SYNC:
            waits = waits or any(
                one.registered and one.registered.joined and self._is_up(one) for one in self.members()
            )
        return waits, frozenset(one.number for one in self.members() if one is not server)

    def _is_up(self, server: Server) -> bool:
        process = server.process
        return server.role() is Role.STANDBY and process is not None and process.ready and not process.suspended

    def slots(self) -> object:
        leader = self.primary()
        process = leader.process.pid if leader is not None and leader.process is not None else None
        return process, frozenset(one.number for one in self.members() if one.role() is Role.STANDBY)

    def view(self) -> View:
        leader = self.primary()
        return View(
            ha_type=self.ha_type,
            members=[self._member(one) for one in self.members()],
            changes=self.changes,
            switchover=self.switchover,
            accept_loss=self.accept_loss,
            refused=self.refused,
            prepared=self.prepared,
            replicated=leader is None or self.replicated == self.slots(),
            full=self.full,
        )

    def _member(self, server: Server) -> Member:
        assert server.registered is not None
        process = server.process
        standby = server.registered.role is Role.STANDBY
        running = None
        if process is not None:
            running = Running(
                pid=process.pid,
                started=1,
                phase=Phase.READY if process.ready else Phase.STARTING,
                port=server.registered.port,
                restart=1,
                configuration=repr(process.config),
                suspended=process.suspended,
                standing_by=process.following and process.ready and not process.leads,
                upstream="others" if process.following else None,
            )
        seen = Observed(
            instance=server.registered,
            initialised=server.initialised,
            data=server.data,
            configuration=repr(server.file) if server.file is not None else None,
            running=running,
            password_version=1,
            answering=process is None or not process.hangs,
            exit="it was killed" if server.died and process is None else None,
        )
        wanted = Wanted(1, 1, repr(self.wanted(server)), upstream="others" if standby else None, ran=not standby)
        return Member(server.registered, seen, wanted, "it does not follow" if server.number in self.judged else None)

    # -- what happens by itself

    def start(self, server: Server, *, following: bool) -> None:
        assert server.process is None
        assert server.file is not None
        self.pids += 1
        server.led = not following
        server.process = Process(self.pids, following, server.file)

    def open(self, server: Server) -> None:
        if server.process is not None and not server.process.ready and server.data:
            server.process.ready = True
            server.process.leads = not server.process.following
            server.led = server.process.leads

    def begin_promotion(self, server: Server) -> None:
        """The history of its new timeline is there before anything else."""
        server.newest = max(one.newest for one in self.servers.values()) + 1

    def promote(self, server: Server) -> None:
        """It forks that timeline."""
        if server.process is not None and server.process.ready and not server.process.leads:
            server.process.leads = server.led = True
            server.timelines = (*server.timelines, (server.newest, len(server.wal)))

    def end(self, server: Server, *, asked: bool) -> None:
        if server.process is not None:
            server.process = None
            server.died = not asked

    def commit(self, server: Server) -> None:
        if server.writes and server.data:
            self.commits += 1
            server.wal = (*server.wal, self.commits)
            self._acknowledge(server)

    def receives(self, standby: Server) -> Server | None:
        """From whom it receives, by what Postgres compares."""
        process = standby.process
        if process is None or not process.following or process.leads or not standby.data:
            return None
        for leader in self.servers.values():
            leads = leader.writes and leader.data and standby.newest <= leader.timelines[-1][0]
            if leads and len(leader.wal) >= len(standby.wal):
                shared = len(standby.timelines)
                forks = leader.timelines[shared:]
                if leader.timelines[:shared] == standby.timelines and all(
                    at >= len(standby.wal) for _, at in forks[:1]
                ):
                    return leader
        return None

    def ship(self, standby: Server) -> None:
        if (leader := self.receives(standby)) is not None:
            assert leader.wal[: len(standby.wal)] == standby.wal, (
                f"{standby.number} follows {leader.number} and has other commits: {standby.wal}, {leader.wal}"
            )
            standby.wal, standby.timelines, standby.newest = leader.wal, leader.timelines, leader.newest
            self._acknowledge(leader)

    def reload(self, server: Server) -> None:
        if server.process is not None and server.file is not None:
            server.process.config = server.file
            self._acknowledge(server)

    def _acknowledge(self, leader: Server) -> None:
        """What waits no more."""
        if not leader.writes or leader.process is None:
            return
        waits, names = leader.process.config
        if not waits:
            self.acknowledged.update(leader.wal)
        for standby in self.servers.values():
            if standby.number in names and self.receives(standby) is leader:
                self.acknowledged.update(leader.wal[: len(standby.wal)])

    def may_lose_data(self, server: Server) -> bool:
        """Whether another one that counts has all that was acknowledged: else nobody could do anything."""
        return any(
            one is not server
            and one.data
            and one.number != self.leaving
            and one.registered is not None
            and (one.registered.joined or one.registered.role is Role.PRIMARY)
            and self.acknowledged <= set(one.wal)
            for one in self.servers.values()
        )

    def lose_data(self, server: Server) -> None:
        if server.data and self.may_lose_data(server):
            self.end(server, asked=False)
            server.data, server.wal, server.timelines = False, (), ((0, 0),)

    def add(self, role: Role) -> Server:
        number = len(self.servers)
        self.servers[number] = Server(number, Instance(identifier(number), SERVICE, 20000 + number, None, role))
        return self.servers[number]

    def put(self, server: Server, instance: Instance) -> None:
        server.registered = instance

    # -- the store

    def copy(self) -> None:
        registered = {one.number: one.registered for one in self.servers.values()}
        self.copied = Older(registered, self.ha_type, self.changes, self.incomplete)

    def put_back(self) -> None:
        """The copy; what runs goes on."""
        assert self.copied is not None
        for server in self.servers.values():
            server.registered = self.copied.registered.get(server.number)
        self.ha_type, self.changes, self.incomplete = self.copied.ha_type, self.copied.changes, self.copied.incomplete
        self.switchover, self.accept_loss, self.unconfirmed = 0, 0, True

    def strangers(self) -> list[Server]:
        return [one for one in self.servers.values() if one.registered is None and one.data]

    def lasts(self) -> dict[InstanceId, Last]:
        there = (one for one in self.members() if one.data)
        return {one.registered.id: Last(one.led, one.timelines[-1][0]) for one in there if one.registered}

    # -- what must always be so

    def check(self) -> None:
        writers = [one.number for one in self.servers.values() if one.writes]
        assert len(writers) < 2, f"{writers} take writes at the same time"
        if self.unconfirmed:
            assert any(self.acknowledged <= set(one.wal) for one in self.servers.values()), "nobody has all of them"
            return
        leader = self.primary()
        assert sum(one.role() is Role.PRIMARY for one in self.members()) < 2
        assert len(self.members()) <= HaType.SYNC.standbys + 1, "more and more standbys"
        if leader is not None and leader.data:
            missing = self.acknowledged - set(leader.wal)
            assert not missing, f"{leader.number} is the primary and lacks {missing}"

    def forgive(self, leader: Server) -> None:
        """What may be lost is lost."""
        self.acknowledged &= set(leader.wal)

    def is_lost(self) -> bool:
        """Whether nobody who counts has data."""
        counting = (
            one for one in self.members() if one is self.primary() or (one.registered and one.registered.joined)
        )
        return not any(one.data for one in counting)

    def is_whole(self) -> bool:
        leader = self.primary()
        if leader is None or leader.registered is None or not leader.writes:
            return False
        standbys = [one for one in self.members() if one is not leader]
        return (
            len(standbys) == self.ha_type.standbys
            and leader.registered.waits == (self.ha_type is HaType.SYNC)
            and all(one.registered is not None and one.registered.joined for one in standbys)
            and all(self.receives(one) is leader and one.wal == leader.wal for one in standbys)
        )


def settled(ha_type: HaType) -> World:
    """With all its members, as it is most of the time."""
    world = World(ha_type)
    for number in range(ha_type.standbys + 1):
        server = world.add(Role.STANDBY if number else Role.PRIMARY)
        assert server.registered is not None
        server.registered = replace(server.registered, joined=bool(number), waits=not number and ha_type is HaType.SYNC)
        server.initialised = server.data = True
    for server in world.members():
        server.file = world.wanted(server)
        world.start(server, following=server.role() is Role.STANDBY)
        world.open(server)
    return world
