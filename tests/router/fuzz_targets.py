"""What no bytes of any client may break, as functions of bytes: replayed from the corpus by the tests, searched by
``fuzz.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from howdah.router.clienthello import BadClientHello, ClientHello, ClientHelloReader
from howdah.router.greeting import Cancel, Hello, Refused, greeting
from howdah.router.startup import BadStartup, Request, parse_startup

MOST_BYTES = 8192
"""Inputs are shorter than any limit of the parsers, so that how they are cut must not matter."""


def hello(data: bytes) -> None:
    """A ClientHello is understood in the same way however its bytes arrive, and none is lost."""
    whole = _read(data, len(data) or 1)
    for size in (5, 61, 1000):
        assert _read(data, size) == whole
    if isinstance(whole, ClientHello) and whole.server_name is not None:
        name = whole.server_name
        assert 0 < len(name) <= 255
        assert name == name.lower()
        assert all("!" <= character <= "~" for character in name)


def _read(data: bytes, size: int) -> ClientHello | str | None:
    reader = ClientHelloReader()
    for start in range(0, len(data), size):
        try:
            found = reader.feed(data[start : start + size])
        except BadClientHello as bad:
            return str(bad)
        if found is not None:
            assert bytes(reader.received) == data[: start + size]
            return found
    assert bytes(reader.received) == data
    return None


def startup(data: bytes) -> None:
    """A packet is itself, whatever follows it; every beginning of it waits for more."""
    try:
        found = parse_startup(data)
    except BadStartup:
        return
    if found is None:
        return
    assert data.startswith(found.packet)
    assert len(found.packet) == int.from_bytes(data[:4])
    assert parse_startup(found.packet) == found
    assert [parse_startup(found.packet[:cut]) for cut in range(len(found.packet))] == [None] * len(found.packet)


def talk(data: bytes) -> None:
    """A conversation before TLS, each part with its length (two bytes) in front, ends in one of three ways."""
    steps, answers = greeting(), []
    answers.append(next(steps))
    said, outcome = b"", None
    for part in _parts(data):
        said += part
        try:
            answers.append(steps.send(part))
        except StopIteration as end:
            outcome = end.value
            break
    answered = b"".join(answers)
    assert answered in (b"", b"N", b"S", b"NS")
    match outcome:
        case Hello():
            assert said.endswith(outcome.received)
            assert outcome.direct == (b"S" not in answered)
            assert outcome.name
        case Cancel():
            packet = parse_startup(outcome.packet)
            assert packet is not None
            assert packet.request is Request.CANCEL
        case Refused():
            assert outcome.reason
            assert outcome.answer[:1] in (b"", b"E", b"\x15")
        case _:
            assert outcome is None


def _parts(data: bytes) -> Iterator[bytes]:
    while len(data) > 2:
        length = int.from_bytes(data[:2])
        part, data = data[2 : 2 + length], data[2 + length :]
        if part:  # the router never reads nothing: that is the end of the connection
            yield part


TARGETS: dict[str, Callable[[bytes], None]] = {"hello": hello, "startup": startup, "talk": talk}
