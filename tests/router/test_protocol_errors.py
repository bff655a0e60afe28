"""What Postgres refuses before TLS begins, the router refuses in the same way."""

from __future__ import annotations

import re

import psycopg
import pytest

from router.raw_client import client_hello, dial, read_to_end, startup
from router.router_process import RouterProcess, route_to
from router.tls_postgres import Postgres

CANCEL, STARTUP = 80877102, 3 << 16
REFUSED = {
    "a length below the least": (7).to_bytes(4) + b"abc",
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "SSL 2": b"\x80\x2e\x01\x03\x01",
    "protocol 1": startup(1 << 16, b"user\0x\0\0"),
    "protocol 2": startup(2 << 16, b"user\0x\0\0"),
    "protocol 4": startup(4 << 16, b"user\0x\0\0"),
    "an unknown request": startup(80877105),
    "a startup message without TLS": startup(STARTUP, b"user\0x\0\0"),
    "a startup message without its end": startup(STARTUP, b"user\0x"),
    "a cancel request without a process": startup(CANCEL),
    "a cancel request without a key": startup(CANCEL, b"abcd"),
    "a cancel request with too long a key": startup(CANCEL, bytes(300)),
    "direct TLS for another protocol": client_hello("v18.localhost", ("h2",)),
}


def refusal(port: int, said: bytes) -> bytes:
    """What a client is told: the beginning of an ErrorResponse, up to the code; an old one's first line; an alert."""
    with dial(port) as sock:
        sock.sendall(said)
        answer = read_to_end(sock)
    if found := re.match(rb"E.{4}(SFATAL\0VFATAL\0C.{5}\0)", answer, re.DOTALL):
        return found[1]
    return re.sub(rb"server supports .*", b"", answer)


@pytest.mark.parametrize("said", REFUSED.values(), ids=REFUSED)
def test_the_same_is_said_as_by_postgres_itself(router: RouterProcess, postgres_18: Postgres, said: bytes):
    router.routes(route_to(postgres_18))
    router.start()
    assert refusal(router.port, said) == refusal(postgres_18.port, said)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [("password", "wrong", "password authentication failed"), ("dbname", "none", 'database "none" does not exist')],
)
def test_what_postgres_says_inside_of_tls_reaches_the_client(
    router: RouterProcess, postgres_18: Postgres, option: str, value: str, sentence: str
):
    router.routes(route_to(postgres_18))
    router.start()
    with pytest.raises(psycopg.OperationalError, match=sentence):
        psycopg.connect(router.dsn(postgres_18.names[0], **{option: value}))
