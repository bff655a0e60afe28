"""Where the rules of the planner matter: services as they are then."""

from __future__ import annotations

from unit.engines.local.members.plane import Plane
from unit.engines.local.members.servers import Server
from unit.engines.local.members.world import World, settled

from howdah.domain.instances import Instance
from howdah.domain.states import HaType


def noted(server: Server) -> Instance:
    assert server.registered is not None
    return server.registered


def services(ha_type: HaType) -> tuple[World, Plane, list[Server]]:
    """With its primary first, and the standbys in the order of their ids."""
    world = settled(ha_type)
    return world, Plane(world), list(world.servers.values())


def commit(world: World, leader: Server, *standbys: Server) -> None:
    """One that only these standbys receive."""
    world.commit(leader)
    for standby in standbys:
        world.ship(standby)


def suspend(server: Server) -> None:
    assert server.process is not None
    server.process.suspended = True


def cut_off(server: Server) -> None:
    """It has begun a timeline of its own, and follows nobody any more."""
    server.newest = 9


def settle_and_judge(*useless: int) -> tuple[World, Plane, list[Server]]:
    """With ``sync``, and such standbys that have to be copied anew, by their numbers."""
    world, plane, servers = services(HaType.SYNC)
    world.judged.update(useless)
    return world, plane, servers
