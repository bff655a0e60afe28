from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.control.states import derive, has_run, restart_seen
from howdah.domain.backups import RestoreSource
from howdah.domain.catalog import default_catalog
from howdah.domain.ids import ServiceId, TimelineId
from howdah.domain.services import Service, ServiceSpec, ServiceStatus
from howdah.domain.states import HaType, PostgresVersion, ServiceState
from howdah.store.services import StoredService

ID = ServiceId.parse("pg7myrd1j06p3gx4zrm2ze8qz6")
SIZE = default_catalog().size("aws", "us-west-2", "r8gd.large")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
READY = ServiceStatus(ready=True, settled=True)
WORKING = ServiceStatus(ready=False, settled=False)
BROKEN = ServiceStatus(ready=False, settled=False, reason="it crashed", retry_after=1.0)


def stored(
    state: ServiceState, *, restart: int = 0, seen: int = 0, password: int = 1, reason: str | None = None
) -> StoredService:
    service = Service(
        id=ID,
        organization=UUID(int=1),
        name="n",
        provider="aws",
        region="us-west-2",
        size=SIZE,
        storage_gib=SIZE.storage_gib,
        postgres_version=PostgresVersion.V17,
        ha_type=HaType.NONE,
        tags=(),
        hostname="h",
        is_primary=True,
        state=state,
        state_reason=reason,
        created_at=NOW,
        password="",
    )
    return StoredService(service, "", "", NOW, restart, seen, password, None, TimelineId.new())


def spec(*, restart: int = 0, password: int = 1) -> ServiceSpec:
    return ServiceSpec(ID, PostgresVersion.V17, SIZE, HaType.NONE, ("h",), "", restart, password)


@pytest.mark.parametrize(
    ("was", "status", "expected"),
    [
        (stored(ServiceState.CREATING), WORKING, (ServiceState.CREATING, None)),
        (stored(ServiceState.CREATING), BROKEN, (ServiceState.CREATING, "it crashed")),
        (stored(ServiceState.CREATING), READY, (ServiceState.RUNNING, None)),
        (stored(ServiceState.CREATING, password=2), READY, (ServiceState.CREATING, None)),
        (stored(ServiceState.RUNNING), WORKING, (ServiceState.RUNNING, None)),
        (stored(ServiceState.RUNNING), BROKEN, (ServiceState.UNAVAILABLE, "it crashed")),
        (stored(ServiceState.RUNNING, password=2), READY, (ServiceState.RUNNING, None)),
        (stored(ServiceState.UNAVAILABLE, reason="it crashed"), WORKING, (ServiceState.UNAVAILABLE, "it crashed")),
        (stored(ServiceState.UNAVAILABLE, reason="it crashed"), READY, (ServiceState.RUNNING, None)),
        (stored(ServiceState.RESTARTING, restart=1), READY, (ServiceState.RESTARTING, None)),
        (stored(ServiceState.RESTARTING, restart=1), WORKING, (ServiceState.RESTARTING, None)),
        (stored(ServiceState.RESTARTING, restart=1), BROKEN, (ServiceState.UNAVAILABLE, "it crashed")),
        (stored(ServiceState.DELETING), READY, (ServiceState.DELETING, None)),
    ],
)
def test_the_state_after_a_pass(
    was: StoredService, status: ServiceStatus, expected: tuple[ServiceState, str | None]
) -> None:
    assert derive(was, spec(), status) == expected


def test_a_restart_is_over_when_a_pass_toward_it_is_ready() -> None:
    was = stored(ServiceState.RESTARTING, restart=1)
    assert derive(was, spec(restart=1), READY) == (ServiceState.RUNNING, None)
    assert restart_seen(was, spec(restart=1), READY) == 1
    done = replace(WORKING, restart=1)
    assert derive(was, spec(restart=1), done) == (ServiceState.RESTARTING, None)
    assert restart_seen(was, spec(restart=1), done) == 1


@given(
    state=st.sampled_from(ServiceState),
    restart=st.integers(0, 3),
    asked=st.integers(0, 3),
    password=st.integers(1, 3),
    wanted=st.integers(1, 3),
    status=st.builds(
        ServiceStatus,
        ready=st.booleans(),
        settled=st.booleans(),
        reason=st.none() | st.just("a reason"),
        restart=st.none() | st.integers(0, 3),
        retry_after=st.none() | st.just(1.0),
    ),
)
def test_running_begins_only_when_everything_wanted_is_ready_and_deleting_never_ends(
    state: ServiceState, restart: int, asked: int, password: int, wanted: int, status: ServiceStatus
) -> None:
    was = stored(state, restart=restart, password=wanted)
    now, reason = derive(was, spec(restart=asked, password=password), status)
    if state is ServiceState.DELETING:
        assert now is ServiceState.DELETING
    elif now is ServiceState.RUNNING and state is not ServiceState.RUNNING:
        assert status.ready
        assert (asked >= restart, password) == (True, wanted)
        assert reason == status.reason
    if now is ServiceState.UNAVAILABLE and state is not ServiceState.UNAVAILABLE:
        assert reason is not None


@pytest.mark.parametrize("state", list(ServiceState))
def test_a_service_has_run_once_it_is_no_longer_created_or_restored(state: ServiceState) -> None:
    created = stored(state)
    assert has_run(created) is (state is not ServiceState.CREATING)
    restored = replace(created, source=RestoreSource(TimelineId.new(), None))
    assert not has_run(restored)
    assert has_run(replace(restored, restored_at=NOW))
