"""Control planes over a ``World``, one after another: they take steps, are killed, and bring everything back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from unit.engines.local.members.control import Steps, advance
from unit.engines.local.members.world import World

from howdah.domain.instances import Role


class Plane:
    """One control plane after another. ``said``: told of each step."""

    def __init__(self, world: World, said: Callable[[str], object] = print) -> None:
        self.world = world
        self._said = said
        self.steps: Steps | None = None

    def step(self) -> str | None:
        """What has just been done; None at the end of a pass."""
        if self.steps is None:
            self.steps = advance(self.world)
        try:
            done = next(self.steps)
        except StopIteration:
            self.steps = None
            return None
        self._said(f"  {done}")
        return done

    def until(self, *done: str, most: int = 100) -> None:
        """So many steps at most, with nothing that must never be between two of them."""
        for _ in range(most):
            step = self.step()
            self.world.check()
            if step in done:
                return
        raise AssertionError(f"none of {done} within {most} steps: {self.world}")

    def go_on(self, steps: int = 40) -> Iterator[str | None]:
        """Each step, for whoever looks between them."""
        for _ in range(steps):
            yield self.step()
            self.world.check()

    def kill(self) -> None:
        """The next one remembers nothing."""
        self.steps = None
        self.world.refused = self.world.prepared = False
        self.world.replicated = self.world.leaving = None
        self.world.judged.clear()
        for server in self.world.servers.values():
            server.died = False


def put_back(world: World, plane: Plane) -> None:
    """An older store, while no control plane runs."""
    plane.kill()
    world.put_back()


def heal(world: World, plane: Plane) -> bool:
    """Nothing breaks any more. Whether it becomes whole again: not where a new primary lost its data while it took
    over, which leaves none that counts with any (docs/high-availability.md)."""
    world.full = False
    for number in range(400):
        for server in world.servers.values():
            if server.process is not None:
                server.process.suspended = server.process.hangs = False
            world.open(server)
            world.ship(server)
            up = server.process is not None and server.process.ready
            if up and server.role() is Role.STANDBY and world.receives(server) is None and world.primary_writes():
                world.judged.add(server.number)
        world.refused = False
        plane.step()
        world.check()
        if world.is_whole() and plane.steps is None:
            return True
        if number == 100:  # Who waits for a switchover has given it up.
            world.switchover = 0
        if number == 200:  # Its user is told what to do when data of two members are gone.
            world.accept_loss = world.changes + 1
            for stranger in world.strangers() if world.unconfirmed else ():
                world.end(stranger, asked=True)
                stranger.data = False
    assert world.is_lost(), f"it does not heal: {world}"
    return False
