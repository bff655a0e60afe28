from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.domain.ids import ALPHABET, InstanceId, ServiceId, TimelineId

UBID, AS_UUID = "pg7myrd1j06p3gx4zrm2ze8qz6", "3d3d8686-4035-86d0-8749-fc505f722ff3"


def test_the_two_spellings_of_the_contract_are_one_id() -> None:
    assert ServiceId.parse(UBID) == ServiceId.parse(AS_UUID) == ServiceId(UUID(AS_UUID))
    assert ServiceId.parse(AS_UUID).ubid == UBID
    assert ServiceId.parse(UBID.upper()) == ServiceId.parse(AS_UUID.upper())


@pytest.mark.parametrize("kind", [ServiceId, InstanceId, TimelineId])
def test_every_fresh_id_survives_both_spellings(kind: type[ServiceId] | type[InstanceId] | type[TimelineId]) -> None:
    for _ in range(1_000):
        fresh = kind.new()
        assert kind.parse(fresh.ubid) == kind.parse(str(fresh.uuid)) == fresh
        assert fresh.ubid.startswith(kind.prefix)
        assert (fresh.uuid.version, len(fresh.ubid)) == (8, 26)


def test_an_id_of_another_type_is_refused() -> None:
    for spelling in (InstanceId.new().ubid, str(InstanceId.new().uuid)):
        with pytest.raises(ValueError):
            ServiceId.parse(spelling)


@given(st.integers(2, 25), st.sampled_from(ALPHABET))
def test_a_mistyped_character_is_noticed_unless_its_bits_have_the_same_parity(place: int, character: str) -> None:
    changed = UBID[:place] + character + UBID[place + 1 :]
    bits = (ALPHABET.index(character) ^ ALPHABET.index(UBID[place])).bit_count()
    if bits % 2:
        with pytest.raises(ValueError, match="wrong parity bit"):
            ServiceId.parse(changed)


@given(st.text(max_size=40))
def test_text_that_is_no_id_is_a_value_error(text: str) -> None:
    try:
        found = ServiceId.parse(text)
    except ValueError:
        return
    assert text.lower() in (str(found.uuid), found.ubid) or ServiceId.parse(found.ubid) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        UBID[:-1],
        UBID + "0",
        "pv" + UBID[2:],
        AS_UUID.replace("-", ""),
        "{" + AS_UUID + "}",
        "3d3d8686-4035-46d0-8749-fc505f722ff3",
        "3d3d8686-4035-86d0-c749-fc505f722ff3",
        UBID[:10] + "u" + UBID[11:],
        "pgkr96zctybt7\u212aa7chzn7yb2tx",  # a Kelvin sign for a k
    ],
)
def test_what_is_nearly_an_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        ServiceId.parse(text)
