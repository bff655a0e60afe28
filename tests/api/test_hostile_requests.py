"""Bytes that no well-meaning client sends: a clear 4xx for each, in time, and the server goes on for others."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from api.client import Client
from api.wire import CLOSE, Wire
from howdah.api import bodies, protocol
from howdah.api.protocol import MAX_HEAD_BYTES, MAX_HEADERS

HEALTH = b"GET /healthz HTTP/1.1\r\n" + CLOSE + b"\r\n"
POST = b"POST /healthz HTTP/1.1\r\n" + CLOSE


async def refused(wire: Wire, *pieces: bytes) -> tuple[int, str]:
    """Status and error of an envelope, after which the server still answers others."""
    answer = await wire.send(*pieces)
    body = json.loads(answer.body)
    assert body["status"] == answer.status
    assert body["requestId"] == answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert (await wire.send(HEALTH)).status == 200
    return answer.status, body["error"]


@pytest.mark.parametrize(
    "smuggled",
    [
        POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        POST + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
        POST + b"Content-Length: 4, 4\r\n\r\nabcd",
        POST + b"Content-Length: +4\r\n\r\nabcd",
        POST + b"Content-Length: 0x4\r\n\r\nabcd",
        POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
        POST + b"Content-Length : 4\r\n\r\nabcd",
        POST + b"Transfer-Encoding: identity, chunked, gzip\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n\tc\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n",
        b"GET /healthz HTTP/1.1\nHost: x\rA: b\r\n\r\n",
        b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_a_request_that_two_readers_could_understand_differently_is_400(wire: Wire, smuggled: bytes) -> None:
    status, error = await refused(wire, smuggled)
    assert (status, error.partition(": ")[0]) == (400, "BAD_REQUEST")


async def test_a_trailer_is_no_header(client: Client, wire: Wire) -> None:
    assert client.auth is not None
    basic = base64.b64encode(":".join(client.auth).encode())
    head = b"GET " + client.services.encode() + b" HTTP/1.1\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"
    status, _ = await refused(wire, head + b"0\r\nAuthorization: Basic " + basic + b"\r\n\r\n")
    assert status == 401


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"GET /healthz HTTP/1.1\r\n" + CLOSE + b"A: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + CLOSE + b"A: b\r\n" * (MAX_HEADERS - 1) + b"\r\n",
        b"GET /healthz HTTP/1.1\r\n" + CLOSE + b"a" * (2 * MAX_HEAD_BYTES),
    ],
)
async def test_a_head_that_is_too_large_is_431(wire: Wire, head: bytes) -> None:
    status, error = await refused(wire, head)
    assert status == 431
    assert error.startswith("HEADERS_TOO_LARGE: ")


async def test_what_any_request_may_be_answered_is_documented_for_each(client: Client) -> None:
    document = (await client.http.get("/openapi.json")).json()
    calls = [call for methods in document["paths"].values() for call in methods.values()]
    assert calls
    assert all(call["responses"].keys() >= {"400", "408", "431"} for call in calls)


async def test_as_many_headers_as_may_be_are_fine(wire: Wire) -> None:
    head = b"GET /healthz HTTP/1.1\r\n" + CLOSE + b"A: b\r\n" * (MAX_HEADERS - 2) + b"\r\n"
    assert (await wire.send(head)).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//v1//organizations",
        "/v1/organizations%2F",
        "/v1/./organizations",
        "/v1/organizations;x=y",
        "/v1/organizations%00",
        "/docs/%2e%2e/readyz",
        "/docs/",
        "/%c0%ae%c0%ae/",
        "/\\..\\",
        "/v1/organizations/%252e%252e",
    ],
)
async def test_a_path_that_leads_elsewhere_leads_nowhere(wire: Wire, path: str) -> None:
    status, _ = await refused(wire, b"GET " + path.encode() + b" HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert status in (401, 404)


@pytest.mark.parametrize(
    "odd", ["..", "%2e%2e", "%00", "%2F", "%c3%28", "a" * 5000, "pg%00", "' or 1=1 --".replace(" ", "+")]
)
async def test_an_id_that_cannot_be_one_is_404(client: Client, wire: Wire, odd: str) -> None:
    assert client.auth is not None
    basic = base64.b64encode(":".join(client.auth).encode())
    head = f"GET {client.services}/{odd} HTTP/1.1\r\n".encode() + CLOSE + b"Authorization: Basic " + basic
    status, error = await refused(wire, head + b"\r\n\r\n")
    assert (status, error.partition(": ")[0]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' * 100_000,
        b"[" * 500_000,
        b'{"name": ' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"storageSize": 1' + b"0" * 100_000 + b"}",
        b'{"storageSize": 1e999999}',
        b'{"storageSize": -1e400}',
        b'{"name": "\xff\xfe"}',
        b'{"name": "\xed\xa0\x80"}',
        b'{"name": "\\ud800"}',
        b'{"name": "\\u0000"}',
        b'{"name": "a", "name": "b"}',
        b'{"name": "a", "n\\u0061me": "b"}',
        b'{"tags": [{"key": "a", "key": "b"}]}',
        b'{"__proto__": {}}',
        b'\xef\xbb\xbf{"name": "a"}',
        b"\xfe\xff\x00{\x00}",
        b"{'name': 'a'}",
        b'{"name": NaN}',
        b'{"name": "a"} {"name": "b"}',
        b"",
        b"null",
        b"\x00" * 1000,
    ],
)
async def test_a_hostile_body_is_400(client: Client, wire: Wire, body: bytes) -> None:
    assert client.auth is not None
    basic = base64.b64encode(":".join(client.auth).encode())
    head = b"POST " + client.services.encode() + b" HTTP/1.1\r\n" + CLOSE + b"Authorization: Basic " + basic
    head += b"\r\nContent-Type: application/json\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n"
    status, error = await refused(wire, head, body)
    assert (status, error.partition(": ")[0]) == (400, "BAD_REQUEST")
    assert await client.result("GET", client.services) == []


async def test_a_head_that_does_not_end_is_408(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    for begun in (b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"):
        status, error = await refused(wire, begun)
        assert status == 408
        assert error.startswith("REQUEST_TIMEOUT: the request line and headers did not arrive within ")


async def test_a_head_that_comes_byte_by_byte_gets_no_more_time(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nA: ")
    answer = asyncio.create_task(reader.read())
    async with asyncio.timeout(10):
        while not answer.done():
            with contextlib.suppress(ConnectionError):
                writer.write(b"a")
                await writer.drain()
            await asyncio.wait([answer], timeout=0.02)
    assert answer.result().startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_a_body_that_does_not_end_is_400(client: Client, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)
    assert client.auth is not None
    basic = base64.b64encode(":".join(client.auth).encode())
    head = b"POST " + client.services.encode() + b" HTTP/1.1\r\n" + CLOSE + b"Authorization: Basic " + basic
    head += b"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    status, error = await refused(wire, head, b'{"name"')
    assert (status, error) == (400, "BAD_REQUEST: the body did not arrive within 0.2 s")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """A server with room for few connections. Named before ``wire``, which makes it."""
    monkeypatch.setattr(protocol, "most_connections", lambda: 100)
    return 100


@pytest.fixture
async def slow(few: int, wire: Wire) -> AsyncIterator[list[asyncio.StreamReader]]:
    """5,000 connections that have begun a request and do not go on, of which each waits for its end."""
    made = []
    for _ in range(50):
        made += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", wire.port) for _ in range(100)))
        for _, writer in made[-100:]:
            with contextlib.suppress(ConnectionError):
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        async with asyncio.timeout(30):
            while sum(not _ended(reader) for reader, _ in made) > few:
                await asyncio.sleep(0.001)
    yield [reader for reader, _ in made]
    for _, writer in made:
        writer.close()


async def test_five_thousand_slow_connections_keep_nobody_waiting(
    few: int, wire: Wire, slow: list[asyncio.StreamReader]
) -> None:
    for _ in range(20):
        assert (await wire.send(HEALTH)).status == 200
    assert sum(not _ended(reader) for reader in slow) <= few


def _ended(reader: asyncio.StreamReader) -> bool:
    return reader.at_eof() or reader.exception() is not None
