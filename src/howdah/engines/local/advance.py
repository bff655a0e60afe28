"""One pass for one service: at most one step for who is the primary, else one for each of its servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from howdah.domain.errors import HowdahError, Unavailable
from howdah.domain.services import ServiceSecrets, ServiceSpec
from howdah.engines.local import plan as alone
from howdah.engines.local.actions.copy import copy
from howdah.engines.local.archiving.received import Received
from howdah.engines.local.members import plan as together
from howdah.engines.local.members.members import Members, Scene
from howdah.engines.local.members.view import Member
from howdah.engines.local.observed import Observed
from howdah.engines.local.perform import perform
from howdah.engines.local.restoring import Restorations


@dataclass(slots=True)
class Advance:
    """``received``: what the archive has of its primary, or of the one that it is a read replica of; None without one.
    ``failed``: told of each step that failed, and why.

    acted: a step was tried. problem: of the primary; None while nothing is wrong. moving: the primary is about to be
    stopped for another one, or has changed. hurt: a step for another server failed.
    """

    members: Members
    restorations: Restorations | None
    spec: ServiceSpec
    secrets: ServiceSecrets
    received: Callable[[], Received | None]
    failed: Callable[[str, str], None]
    acted: bool = False
    problem: str | None = None
    moving: bool = False
    hurt: bool = False

    async def run(self, scene: Scene) -> None:
        if (change := together.transition(scene.view)) is not None:
            await self._try(change, self._change_roles(scene, change))
            self.moving = self.problem is None and isinstance(change, together.Prepare)
            return
        step = self._primary_step(scene)
        if step is not None:
            await self._try(step, self._perform(scene, scene.primary, step))
            if self.problem is None:
                return  # Its clients wait for what comes next; standbys have time.
        elif (upkeep := together.upkeep(scene.view)) is not None:
            await self._beside(upkeep, self.members.keep_up(self.spec, self.secrets, scene, upkeep))
        for standby in scene.view.standbys:
            if (action := together.standby_step(scene.view, standby)) is not None:
                await self._beside(action, self._perform(scene, standby, action))

    async def _change_roles(self, scene: Scene, change: together.Transition) -> None:
        await self.members.succession.step(self.spec, self.secrets, scene.view, change, self.received())

    def _primary_step(self, scene: Scene) -> alone.Action | together.CatchUp | None:
        if self.spec.follows is None:
            return together.primary_step(scene.view)
        return self.members.replica_step(scene)

    async def _try(self, step: object, work: Awaitable[None]) -> None:
        self.acted = True
        try:
            await work
        except (HowdahError, OSError) as error:
            self.problem = str(error)
            self.failed(type(step).__name__, self.problem)

    async def _beside(self, step: object, work: Awaitable[None]) -> None:
        """What its clients do not notice when it fails."""
        self.acted = True
        try:
            await work
        except (HowdahError, OSError) as error:
            self.hurt = True
            self.failed(type(step).__name__, str(error))

    async def _perform(self, scene: Scene, member: Member | None, action: alone.Action | together.CatchUp) -> None:
        machine = self.members.machine
        match action:
            case alone.Discard():
                assert member is not None
                await self.members.discard(scene.view, member)
            case together.CatchUp():
                assert member is not None
                await self.members.catch_up(scene, member, self.received())
            case alone.Copy():
                assert member is not None
                source = scene.source
                if source is None or (running := source.running) is None or source.instance is None:
                    raise Unavailable("its primary does not run")
                await copy(machine, self.members.copies, member.instance, self.spec, source.instance, running)
            case _:
                seen = member.seen if member is not None else Observed(instance=None)
                instance = seen.instance
                files = scene.files.get(instance.id) if instance is not None else None
                following = None
                if instance is not None:
                    following = self.members.following(scene.membership, self.secrets, instance)
                await perform(machine, self.restorations, action, seen, self.spec, self.secrets, files, following)
