from __future__ import annotations

import ssl
from collections import deque
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.router.clienthello import (
    MAX_HELLO,
    BadClientHello,
    ClientHello,
    ClientHelloReader,
    parse_client_hello,
)


def hello_of_openssl(name: str | None, protocols: list[str]) -> bytes:
    """What Python's own TLS sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def vector(size: int, content: bytes) -> bytes:
    return len(content).to_bytes(size) + content


def record(fragment: bytes) -> bytes:
    return b"\x16\x03\x01" + vector(2, fragment)


def message(extensions: list[tuple[int, bytes]], *, session: bytes = b"", ciphers: bytes = b"\x13\x01") -> bytes:
    block = b"".join(kind.to_bytes(2) + vector(2, content) for kind, content in extensions)
    body = b"\x03\x03" + bytes(32) + vector(1, session) + vector(2, ciphers) + vector(1, b"\0") + vector(2, block)
    return b"\x01" + vector(3, body)


def server_name(name: bytes) -> tuple[int, bytes]:
    return 0, vector(2, b"\0" + vector(2, name))


def alpn(*protocols: bytes) -> tuple[int, bytes]:
    return 16, vector(2, b"".join(vector(1, protocol) for protocol in protocols))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """``data`` in pieces, cut at ``places`` (any order, any size)."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


def read(pieces: list[bytes]) -> ClientHello | None:
    reader = ClientHelloReader()
    for piece in pieces:
        if (hello := reader.feed(piece)) is not None:
            return hello
    return None


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
# Below a name of letters: "0.0.0.0" is an address, for which OpenSSL sends no name.
hostnames = st.lists(labels, min_size=1, max_size=8).map(lambda parts: ".".join([*parts, "localhost"]))
places = st.lists(st.integers(0, 5000), max_size=30)


@pytest.mark.parametrize("protocols", [[], ["postgresql"], ["h2", "postgresql"]])
@pytest.mark.parametrize("name", [None, "My-Postgres.pg.example.com"])
def test_the_hello_of_openssl_is_understood(name: str | None, protocols: list[str]):
    expected = ClientHello(name.lower() if name else None, tuple(protocol.encode() for protocol in protocols))
    assert read([hello_of_openssl(name, protocols)]) == expected


@given(name=hostnames, segments=places)
def test_segments_cut_anywhere_give_the_same_result(name: str, segments: list[int]):
    whole = hello_of_openssl(name, ["postgresql"])
    assert read(cut(whole, segments)) == read([whole]) == ClientHello(name, (b"postgresql",))


@given(name=hostnames, records=places, segments=places)
def test_records_cut_anywhere_give_the_same_result(name: str, records: list[int], segments: list[int]):
    hello = message([(10, b"\0\2\0\x1d"), server_name(name.encode()), alpn(b"postgresql")])
    stream = b"".join(record(fragment) for fragment in cut(hello, records))
    assert read(cut(stream, segments)) == ClientHello(name, (b"postgresql",))


@given(st.binary(max_size=400), places)
def test_any_bytes_give_a_hello_a_wish_for_more_or_the_declared_error(data: bytes, segments: list[int]):
    with suppress(BadClientHello):
        read(cut(data, segments))


@given(st.data())
def test_a_damaged_hello_gives_nothing_but_the_declared_error(data: st.DataObject):
    hello = bytearray(record(message([server_name(b"a.example"), alpn(b"postgresql"), (43, b"\2\3\4")])))
    for _ in range(data.draw(st.integers(1, 4))):
        hello[data.draw(st.integers(0, len(hello) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadClientHello):
        read([bytes(hello)])


@given(st.binary(max_size=300))
def test_a_body_of_any_bytes_gives_nothing_but_the_declared_error(body: bytes):
    with suppress(BadClientHello):
        parse_client_hello(body)


@given(st.integers(1, 200))
def test_every_proper_beginning_waits_for_more(missing: int):
    whole = hello_of_openssl("a.example", ["postgresql"])
    assert read([whole[: -min(missing, len(whole) - 1)]]) is None


def test_everything_received_is_kept_for_the_server():
    reader = ClientHelloReader()
    hello = hello_of_openssl("a.example", [])
    assert reader.feed(hello[:7]) is None
    assert reader.feed(hello[7:] + b"early data") == ClientHello("a.example", ())
    assert bytes(reader.received) == hello + b"early data"


def test_a_hello_without_extensions_has_no_name():
    body = b"\x03\x03" + bytes(32) + b"\0" + vector(2, b"\x13\x01") + vector(1, b"\0")
    assert read([record(b"\x01" + vector(3, body))]) == ClientHello(None, ())


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        (b"GET / HTTP/1.1\r\n", "record type 71 is not a handshake record"),
        (b"\x16\x02\x00\x00\x05", "record version 2.x is not TLS"),
        (b"\x16\x03\x01\x00\x00", "a handshake record of 0 bytes"),
        (b"\x16\x03\x01\x40\x01", "a handshake record of 16385 bytes"),
        (record(b"\x02\x00\x00\x00"), "handshake message 2 is not a ClientHello"),
        (record(b"\x01\xff\xff\xff"), "a ClientHello of 16777215 bytes, more than 65536"),
        (record(message([server_name(b"a.b"), server_name(b"c.d")])), "extension 0 twice"),
        (
            record(message([server_name(b"")])),
            "the host name in server_name is not 1 to 255 printable ASCII characters",
        ),
        (
            record(message([server_name(b"a b")])),
            "the host name in server_name is not 1 to 255 printable ASCII characters",
        ),
        (record(message([(0, vector(2, b"\1" + vector(2, b"a.b")))])), "server_name is not one host name"),
        (record(message([(0, b"\0\x09")])), "a field of the ClientHello ends too early"),
    ],
)
def test_what_is_wrong_is_said(stream: bytes, sentence: str):
    with pytest.raises(BadClientHello) as refused:
        read([stream])
    assert str(refused.value) == sentence


def test_a_hello_that_never_ends_is_refused_at_the_limit():
    hello = message([(21, bytes(60_000))])
    reader = ClientHelloReader()
    records = iter([record(bytes([byte])) for byte in hello])
    with pytest.raises(BadClientHello, match=f"no complete ClientHello in {MAX_HELLO} bytes"):
        deque(map(reader.feed, records), maxlen=0)
    assert len(reader.received) <= MAX_HELLO + 6
