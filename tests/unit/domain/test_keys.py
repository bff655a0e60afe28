from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from howdah.domain.errors import Conflict
from howdah.domain.keys import Expiry, KeyChange, check_admin_remains, check_reach, listed, updates
from howdah.domain.organizations import ApiKey, KeyState, Role
from howdah.domain.sources import EVERYWHERE, Source, admits

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HERE, ELSEWHERE = "192.0.2.7", (Source("10.0.0.0/8"),)

roles = st.lists(st.sampled_from(Role), min_size=1, max_size=3, unique=True).map(tuple)
expiries = st.sampled_from([None, NOW - timedelta(1), NOW, NOW + timedelta(1)])
sources = st.sampled_from([None, (), ELSEWHERE, EVERYWHERE])
keys = st.builds(
    ApiKey,
    id=st.uuids(),
    organization=st.just(uuid4()),
    key_id=st.just("k"),
    name=st.just("n"),
    roles=roles,
    state=st.sampled_from(KeyState),
    suffix=st.just("s"),
    created_at=st.just(NOW),
    expire_at=expiries,
    used_at=st.none(),
    api_version=st.none(),
    sources=sources,
)
changes = st.builds(
    KeyChange,
    roles=st.none() | roles,
    state=st.none() | st.sampled_from(KeyState),
    expiry=st.none() | st.builds(Expiry, expiries),
    sources=sources,
)


def usable(key: ApiKey) -> bool:
    return (
        Role.ADMIN in key.roles
        and key.state is KeyState.ENABLED
        and (key.expire_at is None or key.expire_at > NOW)
        and key.sources != ()
    )


@given(st.lists(keys, min_size=1, max_size=4), st.lists(st.tuples(st.integers(0, 3), st.none() | changes), max_size=8))
def test_whatever_is_done_to_keys_somebody_can_manage_them(everyone: list[ApiKey], steps: list) -> None:
    could = any(map(usable, everyone))
    for_good = any(usable(key) and key.expire_at is None for key in everyone)
    for index, change in steps:
        if index >= len(everyone):
            continue
        key = everyone[index]
        after = None if change is None else change.of(key)
        with suppress(Conflict):
            check_admin_remains(everyone, after, key, now=NOW)
            everyone = [one for one in everyone if one is not key] + ([] if after is None else [after])
    assert any(map(usable, everyone)) or not could
    assert any(usable(key) and key.expire_at is None for key in everyone) or not for_good


@given(st.lists(keys, min_size=1, max_size=3), changes)
def test_who_asks_with_the_only_usable_key_stays_within_its_list(everyone: list[ApiKey], change: KeyChange) -> None:
    mine, *others = everyone
    after = change.of(mine)
    try:
        check_reach(everyone, after, address=HERE, now=NOW)
    except Conflict:
        assert usable(after)
        assert not any(map(usable, others))
        assert not admits(after.sources or (), HERE)
    else:
        reachable = after.sources is None or admits(after.sources, HERE)
        assert reachable or any(map(usable, others)) or not usable(after)
    check_reach(everyone, after, address=None, now=NOW)


@given(keys, changes)
def test_a_change_is_told_if_and_only_if_there_is_one(key: ApiKey, change: KeyChange) -> None:
    after = change.of(key)
    assert bool(list(updates(key, after))) is (after != key)
    assert change.of(after) == after


def test_what_is_shown_of_a_key_without_a_list_may_be_sent_back() -> None:
    assert listed(EVERYWHERE) is None
    assert listed(()) == ()
    assert listed(ELSEWHERE) == ELSEWHERE


@given(keys)
def test_the_strongest_role_counts(key: ApiKey) -> None:
    key = replace(key, roles=(Role.QUERY_ENDPOINTS, Role.ADMIN, Role.DEVELOPER))
    assert key.role is Role.ADMIN
    assert replace(key, roles=(Role.QUERY_ENDPOINTS, Role.DEVELOPER)).role is Role.DEVELOPER
