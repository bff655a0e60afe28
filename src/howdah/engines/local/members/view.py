"""A service with several servers, as the planner sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from howdah.domain.instances import Instance, Role
from howdah.domain.states import HaType
from howdah.engines.local.observed import Observed, Phase, Wanted


@dataclass(frozen=True, slots=True)
class Member:
    """``stale``: why its data are of no use to it, in words; None while they are."""

    instance: Instance
    seen: Observed
    wanted: Wanted
    stale: str | None = None

    @property
    def is_up(self) -> bool:
        """It lets clients in and answers."""
        running = self.seen.running
        return running is not None and running.phase is Phase.READY and not running.suspended and self.seen.answering

    @property
    def can_lead(self) -> bool:
        """A standby that could become the primary now, as far as its data go that it knows of."""
        running = self.seen.running
        joined = self.instance.role is Role.STANDBY and self.instance.joined
        return joined and self.is_up and running is not None and running.standing_by


@dataclass(frozen=True, slots=True)
class View:
    """A service. changes: how often its primary has changed. switchover, accept_loss: as in ``ServiceSpec``: the number
    of the change that is asked for, or for which commits may be lost. refused: a failover was not possible moments ago.
    prepared: a switchover may begin. replicated: the primary has all that its standbys need of it. patient: a primary
    that is to be started again may wait for them. full: the disk that they share is."""

    ha_type: HaType
    members: Sequence[Member]
    changes: int = 0
    switchover: int = 0
    accept_loss: int = 0
    refused: bool = False
    prepared: bool = False
    replicated: bool = True
    patient: bool = True
    full: bool = False

    @property
    def primary(self) -> Member | None:
        return next((one for one in self.members if one.instance.role is Role.PRIMARY), None)

    @property
    def standbys(self) -> list[Member]:
        return [one for one in self.members if one.instance.role is Role.STANDBY]

    @property
    def shrinks(self) -> bool:
        """Whether its primary runs with more connections than are wanted: until it has been started again no standby
        may have fewer, or it would not follow."""
        primary = self.primary
        running = primary.seen.running if primary is not None else None
        return primary is not None and running is not None and running.connections > primary.wanted.connections

    @property
    def waits(self) -> bool:
        """Whether its commits wait for standbys."""
        primary = self.primary
        return self.ha_type is HaType.SYNC and primary is not None and primary.instance.waits

    @property
    def ahead(self) -> bool:
        """Whether the primary may have commits that no standby has received since it took over."""
        primary = self.primary
        return primary is not None and primary.instance.ahead

    @property
    def candidates(self) -> list[Member]:
        """Of whom one may become the primary; none while a standby that may have acknowledged a commit cannot be asked
        how far it is."""
        able = [one for one in self.standbys if one.can_lead]
        joined = [one for one in self.standbys if one.instance.joined]
        if self.waits and (len(able) < len(joined) or self.ahead) and not self.may_lose:
            return []
        return able

    @property
    def may_lose(self) -> bool:
        """Whether its user has said that commits may be lost."""
        return self.accept_loss > self.changes

    @property
    def may_change(self) -> bool:
        """Whether another one can become the primary now. On a full disk it would end of it, and the former one's data
        would count no more."""
        return bool(self.candidates) and not self.refused and not self.full
