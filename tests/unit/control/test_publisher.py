from __future__ import annotations

from typing import Any

import pytest

from howdah.control.publisher import Opening, read_only_route, route
from howdah.domain.ids import ServiceId
from howdah.domain.routes import Route, RouteState
from howdah.domain.services import Endpoint
from howdah.domain.states import HaType, ServiceState
from howdah.store.services import Place

ID = ServiceId.parse("pg7myrd1j06p3gx4zrm2ze8qz6")
HERE, THERE, MORE, DEAD = (Endpoint("127.0.0.1", port) for port in (20_001, 20_002, 20_003, 20_004))


@pytest.mark.parametrize(
    ("place", "opening", "expected"),
    [
        (Place(ID, ServiceState.CREATING, 0, None), None, ("held",)),
        (Place(ID, ServiceState.CREATING, 0, HERE), None, ("held", 20_001)),
        (Place(ID, ServiceState.RUNNING, 0, HERE), None, ("open", 20_001)),
        (Place(ID, ServiceState.RESTARTING, 1, HERE), None, ("held", 20_001)),
        (Place(ID, ServiceState.UNAVAILABLE, 0, HERE), None, ("held", 20_001)),
        (Place(ID, ServiceState.DELETING, 0, HERE), None, None),
        (Place(ID, ServiceState.CREATING, 0, None), Opening(ID, HERE, 0), ("open", 20_001)),
        (Place(ID, ServiceState.RUNNING, 0, HERE), Opening(ID, THERE, 0), ("open", 20_002)),
        (Place(ID, ServiceState.RUNNING, 0, HERE, HaType.ASYNC, (MORE,), True), None, ("held", 20_001, 20_003)),
        (Place(ID, ServiceState.RESTARTING, 2, HERE), Opening(ID, HERE, 1), ("held", 20_001)),
        (Place(ID, ServiceState.DELETING, 0, HERE), Opening(ID, HERE, 0), None),
    ],
)
def test_the_route_of_a_service(place: Place, opening: Opening | None, expected: tuple[Any, ...] | None) -> None:
    made = route(place, ("new", "old"), opening)
    if expected is None:
        assert made is None
    else:
        state, *ports = expected
        servers = tuple(("127.0.0.1", port) for port in ports)
        assert made == Route(ID.ubid, ("new", "old"), servers, RouteState(state))


NEW, OLD = "new-6d8d2e3e.c0.localhost", "old-00000000.c0.localhost"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (Place(ID, ServiceState.RUNNING, 0, HERE), None),
        (Place(ID, ServiceState.RUNNING, 0, HERE, HaType.NONE, (THERE,)), None),
        (Place(ID, ServiceState.DELETING, 0, HERE, HaType.ASYNC, (THERE,)), None),
        (Place(ID, ServiceState.CREATING, 0, None, HaType.ASYNC), ("held",)),
        (Place(ID, ServiceState.RUNNING, 0, HERE, HaType.ASYNC), ("held",)),
        (Place(ID, ServiceState.RUNNING, 0, HERE, HaType.ASYNC, (THERE,)), ("open", 20_002)),
        (Place(ID, ServiceState.UNAVAILABLE, 0, HERE, HaType.SYNC, (THERE, MORE)), ("open", 20_002, 20_003)),
        (Place(ID, ServiceState.RESTARTING, 1, HERE, HaType.SYNC, (THERE, DEAD)), ("open", 20_002)),
        (Place(ID, ServiceState.RUNNING, 0, HERE, HaType.ASYNC, (DEAD,)), ("held",)),
        (Place(ID, ServiceState.RUNNING, 0, HERE, HaType.ASYNC, (THERE,), True), ("held", 20_001, 20_002)),
    ],
)
def test_the_read_only_route_of_a_service(place: Place, expected: tuple[Any, ...] | None) -> None:
    made = read_only_route(place, (NEW, OLD), frozenset({DEAD}))
    if expected is None:
        assert made is None
    else:
        names = "new-6d8d2e3e-ro.c0.localhost", "old-00000000-ro.c0.localhost"
        state, *ports = expected
        servers = tuple(("127.0.0.1", port) for port in ports)
        assert made == Route(f"{ID.ubid}-ro", names, servers, RouteState(state))
