from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.domain.errors import BadRequest
from howdah.domain.sources import EVERYWHERE, admits, check_sources


def sources(*texts: str):
    return check_sources([(text, None) for text in texts], "list")


@given(st.ip_addresses())
def test_everywhere_admits_every_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert admits(EVERYWHERE, str(address))


@given(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4))
def test_a_network_admits_the_addresses_that_share_its_prefix(
    network: ipaddress.IPv4Address, prefix: int, peer: ipaddress.IPv4Address
) -> None:
    within = ipaddress.ip_network((network, prefix), strict=False)
    shares = int(network) >> (32 - prefix) == int(peer) >> (32 - prefix)
    assert admits(sources(str(within)), str(peer)) is shares
    assert admits(sources(str(within)), f"::ffff:{peer}") is shares


@pytest.mark.parametrize("address", [None, "", "here", "10.0.0.1/8", "::g"])
def test_what_is_no_address_is_admitted_nowhere(address: str | None) -> None:
    assert not admits(EVERYWHERE, address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 10.0.0.1",
        "10.0.0",
        "10.0.0.1/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/255.0.0.0",
        "010.0.0.1",
        "١٠.0.0.1",
        "::/129",
        "fe80::1%eth0",
        "::ffff:10.0.0.1",
        "::ffff:0:0/96",
        "localhost",
        "1",
    ],
)
def test_what_is_no_address_and_no_network_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match=r"list\[0\]\.source .* must be an IPv4 or IPv6 address, or a network like"):
        sources(text)


@given(st.text())
def test_any_text_is_a_network_or_refused_with_a_sentence(text: str) -> None:
    said = "list[0].source"
    try:
        (found,) = sources(text)
        assert found.text == text
    except BadRequest as refused:
        said = refused.sentence
    assert said.startswith("list[0].source")


def test_overlapping_networks_are_fine_and_twice_the_same_is_not() -> None:
    assert len(sources("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3")) == 3
    with pytest.raises(BadRequest, match="is there twice"):
        sources("10.1.2.3", "10.1.2.3/32")
