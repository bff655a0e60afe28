from __future__ import annotations

from typing import Any

import pytest

from howdah.control.publisher import Opening, route
from howdah.domain.ids import ServiceId
from howdah.domain.routes import Route, RouteState
from howdah.domain.services import Endpoint
from howdah.domain.states import ServiceState
from howdah.store.services import Place

ID = ServiceId.parse("pg7myrd1j06p3gx4zrm2ze8qz6")
HERE, THERE = Endpoint("127.0.0.1", 20_001), Endpoint("127.0.0.1", 20_002)


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
