from __future__ import annotations

from uuid import uuid4

import pytest

from howdah.domain.errors import Conflict
from howdah.domain.quotas import Quota, Usage, check_room

HERE = uuid4()


def test_what_an_organization_does_not_say_the_settings_say() -> None:
    default = Quota(5, 500)
    assert Quota().over(default) == default
    assert Quota(0, None).over(default) == Quota(0, 500)
    assert Quota(None, 7).over(default) == Quota(5, 7)


@pytest.mark.parametrize(
    ("quota", "used", "fits"),
    [
        (Quota(0, 0), Usage(10_000, 10**6, 0), True),
        (Quota(3, 0), Usage(2, 10**6, 0), True),
        (Quota(3, 0), Usage(3, 0, 0), False),
        (Quota(3, 0), Usage(9, 0, 0), False),
        (Quota(0, 300), Usage(2, 200, 0), True),
        (Quota(0, 299), Usage(2, 200, 0), False),
    ],
)
def test_there_is_room_up_to_the_quota(quota: Quota, used: Usage, fits: bool) -> None:
    if fits:
        check_room(HERE, quota, used, services=1, storage_gib=100)
    else:
        with pytest.raises(Conflict, match=f"howdah organizations quota {HERE} --"):
            check_room(HERE, quota, used, services=1, storage_gib=100)


def test_what_needs_no_more_is_never_refused() -> None:
    check_room(HERE, Quota(1, 1), Usage(5, 500, 0), services=0, storage_gib=-100)
