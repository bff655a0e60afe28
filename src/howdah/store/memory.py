"""What memory the servers of all services have together, by their sizes."""

from __future__ import annotations

from sqlalchemy import Connection, case, func, select

from howdah.domain.memory import Memory
from howdah.domain.states import HaType, ServiceState
from howdah.store.prepared import Prepared
from howdah.store.store import Store
from howdah.store.tables import services

_OF_ONE = services.c.memory_gib * (1 + case({str(one): one.standbys for one in HaType}, value=services.c.ha_type))
_SUMS = select(
    func.coalesce(func.sum(_OF_ONE), 0),
    func.coalesce(func.sum(_OF_ONE).filter(services.c.state == ServiceState.DELETING), 0),
)
_ALL = Prepared(_SUMS)


def memory(store: Store, total_gib: int) -> Memory:
    """``total_gib``: what they may have."""
    used, deleting = store.all(_ALL, {})[0]
    return Memory(total_gib, used, deleting)


def memory_within(connection: Connection, total_gib: int) -> Memory:
    """The same inside a transaction."""
    used, deleting = connection.execute(_SUMS).one()
    return Memory(total_gib, used, deleting)
