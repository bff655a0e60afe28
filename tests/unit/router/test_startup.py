from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.router.startup import (
    GSSENC_REQUEST,
    SSL_REQUEST,
    Alert,
    BadStartup,
    Request,
    StartupPacket,
    fatal,
    fatal_alert,
    parse_startup,
)


def packet(code: int, content: bytes = b"") -> bytes:
    return struct.pack("!II", 8 + len(content), code) + content


STARTUP = packet(3 << 16, b"user\0postgres\0\0")
CANCEL = packet(80877102, struct.pack("!II", 4711, 42))
LONG_CANCEL = packet(80877102, struct.pack("!I", 4711) + bytes(32))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (SSL_REQUEST, StartupPacket(Request.SSL, SSL_REQUEST)),
        (GSSENC_REQUEST, StartupPacket(Request.GSSENC, GSSENC_REQUEST)),
        (CANCEL, StartupPacket(Request.CANCEL, CANCEL)),
        (LONG_CANCEL, StartupPacket(Request.CANCEL, LONG_CANCEL)),
        (STARTUP, StartupPacket(Request.STARTUP, STARTUP, (3, 0))),
        (packet((3 << 16) | 2, b"\0"), StartupPacket(Request.STARTUP, packet((3 << 16) | 2, b"\0"), (3, 2))),
    ],
)
def test_each_packet_is_recognised_whatever_follows_it_and_waited_for_when_cut(data: bytes, expected: StartupPacket):
    assert parse_startup(data) == expected
    assert parse_startup(data + b"more") == expected
    assert [parse_startup(data[:cut]) for cut in range(len(data))] == [None] * len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        struct.pack("!II", 7, 3 << 16),
        struct.pack("!II", 10_001, 3 << 16),
        packet(80877102, b"1234"),
        packet(80877102, bytes(4 + 257)),
    ],
)
def test_what_cannot_be_a_startup_packet_is_refused_at_once(data: bytes):
    with pytest.raises(BadStartup):
        parse_startup(data)


@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_give_a_packet_a_wish_for_more_or_the_declared_error(data: bytes):
    with suppress(BadStartup):
        parse_startup(data)


def test_an_error_has_the_fields_that_drivers_read():
    error = fatal("28000", "no", "do this")
    assert error == b"E" + struct.pack("!I", len(error) - 1) + b"SFATAL\0VFATAL\0C28000\0Mno\0Hdo this\0\0"


def test_an_alert_is_one_unencrypted_record():
    assert fatal_alert(Alert.UNRECOGNIZED_NAME) == bytes.fromhex("15030300020270")
