from __future__ import annotations

import pytest

from howdah.router.live import LiveConnections, client_address


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:DB8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_addresses_of_one_client_are_one(host: str, expected: str):
    assert client_address(host) == expected


A, B, C = (("127.0.0.1", port) for port in (20001, 20002, 20003))


def test_the_servers_with_the_fewest_connections_come_first_and_equal_ones_in_any_order():
    live = LiveConnections()
    assert {live.least_loaded_first((A, B))[0] for _ in range(100)} == {A, B}
    with live.dialling(A), live.dialling(A), live.dialling(B):
        assert live.least_loaded_first((A, B, C)) == [C, B, A]
        assert live.least_loaded_first(()) == []
    assert {live.least_loaded_first((A, B))[0] for _ in range(100)} == {A, B}


def test_a_server_that_cannot_be_dialled_is_not_counted():
    live = LiveConnections()
    with pytest.raises(ConnectionRefusedError), live.dialling(A):
        raise ConnectionRefusedError
    assert {live.least_loaded_first((A, B))[0] for _ in range(100)} == {A, B}
