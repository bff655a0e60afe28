"""The same application behind the real HTTP server, for what only bytes on a socket can do."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from api.client import Client
from api.wire import CLOSE, Wire


async def test_an_answer_over_a_socket_is_the_envelope(wire: Wire) -> None:
    answer = await wire.send(b"GET /v1/organizations HTTP/1.1\r\n" + CLOSE + b"\r\n")
    body = json.loads(answer.body)
    assert (answer.status, body["status"], answer.headers["x-request-id"]) == (401, 401, body["requestId"])
    assert answer.headers["www-authenticate"] == 'Basic realm="howdah"'
    assert "server" not in answer.headers


async def test_head_has_the_length_and_no_body(wire: Wire) -> None:
    answer = await wire.send(b"HEAD /healthz HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 64 + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused_and_the_server_goes_on(wire: Wire, nonsense: bytes) -> None:
    assert (await wire.send(nonsense)).status == 400
    assert (await wire.send(b"GET /healthz HTTP/1.1\r\n" + CLOSE + b"\r\n")).status == 200


@pytest.mark.parametrize(
    "path", [b"/%", b"/%zz", b"/%00", b"/%ff", b"/\xff", b"/v1/organizations/%2F", b"*", b"/?\xff"]
)
async def test_an_odd_path_is_answered_in_the_envelope(wire: Wire, path: bytes) -> None:
    answer = await wire.send(b"GET " + path + b" HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert answer.status in (400, 401, 404)
    if answer.status != 400:
        assert json.loads(answer.body)["status"] == answer.status


def _create(client: Client, framing: bytes) -> bytes:
    """The head of a create."""
    assert client.auth is not None
    basic = base64.b64encode(":".join(client.auth).encode())
    head = b"POST " + client.services.encode() + b" HTTP/1.1\r\n" + CLOSE + b"Authorization: Basic " + basic
    return head + b"\r\nContent-Type: application/json\r\n" + framing + b"\r\n\r\n"


async def test_a_body_in_chunks_is_read(client: Client, wire: Wire) -> None:
    head = _create(client, b"Transfer-Encoding: chunked")
    answer = await wire.send(head, b"1\r\n{\r\n", b"1\r\n}\r\n0\r\n\r\n")
    assert (answer.status, json.loads(answer.body)["error"]) == (400, "BAD_REQUEST: name is missing; it is required")


async def test_a_declared_length_that_is_too_large_is_refused_before_the_body_comes(client: Client, wire: Wire) -> None:
    assert (await wire.send(_create(client, b"Content-Length: 99999999999"))).status == 413


async def test_a_client_that_leaves_within_its_body_disturbs_nobody(client: Client, wire: Wire) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(_create(client, b"Content-Length: 100") + b"{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await wire.send(b"GET /healthz HTTP/1.1\r\n" + CLOSE + b"\r\n")).status == 200
    assert await client.result("GET", client.services) == []
