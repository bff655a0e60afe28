from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.domain.errors import BadRequest
from howdah.domain.ids import ServiceId
from howdah.domain.names import check_name, new_hostname, read_only, slug, with_read_only

ID = ServiceId.parse("pg7myrd1j06p3gx4zrm2ze8qz6")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my postgres", "my-postgres"),
        ("Orders_DB.v2", "orders-db-v2"),
        ("--a--", "a"),
        ("...", "pg"),
        ("a" * 60, "a" * 54),
        ("a" * 53 + "-b", "a" * 53),
    ],
)
def test_the_slug_of_a_name(name: str, expected: str) -> None:
    assert slug(name) == expected


@given(st.text())
def test_a_slug_is_always_a_part_of_a_label(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,52}[a-z0-9])?", slug(name))


@given(st.from_regex(r"[A-Za-z0-9 _.-]{1,50}", fullmatch=True))
def test_a_hostname_is_a_valid_name_whatever_the_service_is_called(name: str) -> None:
    made = new_hostname(name=name, service=ID, region="us-west-2", provider="aws", domain="localhost")
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label) for label in made.split("."))
    assert made.endswith(".pg7myrd1j06p3gx4zrm2ze8qz6.c0.us-west-2.aws.pg.localhost")
    assert len(made) <= 253
    assert made != new_hostname(name=name, service=ID, region="us-west-2", provider="aws", domain="localhost")


REST = "pg7myrd1j06p3gx4zrm2ze8qz6.c0.us-west-2.aws.pg.localhost"


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("pg-6d8d2e3e", "pg-6d8d2e3e-ro"),
        ("a" * 51 + "-6d8d2e3e", "a" * 51 + "-6d8d2e3e-ro"),
        ("a" * 52 + "-6d8d2e3e", "a" * 51 + "-6d8d2e3e-ro"),
        ("a" * 50 + "-bcd-6d8d2e3e", "a" * 50 + "-6d8d2e3e-ro"),
        ("a-ro-6d8d2e3e", "a-ro-6d8d2e3e-ro"),
    ],
)
def test_the_read_only_name_of_a_hostname(label: str, expected: str) -> None:
    assert read_only(f"{label}.{REST}") == f"{expected}.{REST}"


@given(st.lists(st.from_regex(r"[A-Za-z0-9 _.-]{1,50}", fullmatch=True), min_size=1, max_size=4))
def test_read_only_names_are_valid_stable_and_nobody_else_s(names: list[str]) -> None:
    hostnames = [
        new_hostname(name=name, service=ID, region="us-west-2", provider="aws", domain="localhost") for name in names
    ]
    made = [read_only(hostname) for hostname in hostnames]
    assert made == [read_only(hostname) for hostname in hostnames]
    assert with_read_only(hostnames) == hostnames + made
    assert len({*hostnames, *made}) == 2 * len(hostnames)
    for hostname, name in zip(hostnames, made, strict=True):
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name.partition(".")[0])
        assert name.partition(".")[2] == hostname.partition(".")[2]


def test_a_good_name_is_trimmed() -> None:
    assert check_name("  My.data_base-1 \n") == "My.data_base-1"
    assert check_name("a" * 50) == "a" * 50


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "name is empty"),
        (" \t ", "name is empty"),
        ("a" * 51, "name has 51 characters; at most 50"),
        ("Dürer", r"name has the character '\\xfc'"),
        ("a/b", "name has the character '/'"),
        ("a\u00a0b", "name has the character"),
        ("a\nb", "name has the character"),
        ("٣", "name has the character"),
    ],
)
def test_a_wrong_name_is_refused_with_its_rule(name: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        check_name(name)
