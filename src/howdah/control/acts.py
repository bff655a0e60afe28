"""A change that somebody asks for. Whatever makes the change writes down who asked, in the same transaction, so that
there is never one without the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection

from howdah.domain.activities import SYSTEM, Activity, Actor, Deed
from howdah.store import activities


def _nothing(_connection: Connection, _result: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Act:
    """``keep``: what else is done in the transaction once the result of the change is known."""

    actor: Actor
    keep: Callable[[Connection, Any], None] = _nothing

    def note(self, connection: Connection, organization: UUID, at: datetime, deed: Deed) -> None:
        """Writes the activity, inside the transaction that does it."""
        activities.add(connection, Activity(uuid4(), at, organization, self.actor, deed))


BY_SYSTEM = Act(SYSTEM)
