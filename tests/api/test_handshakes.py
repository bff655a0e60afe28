"""TLS handshakes that do not end are bounded as other slow connections are, and others are answered meanwhile."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest

from api.client import Client
from api.test_tls import Files, files, port, tls
from howdah.api import protocol

__all__ = ["files", "port", "tls"]

CLIENT_HELLO_BEGUN = b"\x16\x03\x01\x02\x00\x01"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """A server with room for few connections. Named before ``port``, which makes it."""
    monkeypatch.setattr(protocol, "most_connections", lambda: 20)
    return 20


@pytest.fixture
async def stuck(few: int, port: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Far more connections than may be, none of which says more than the beginning of its ClientHello."""
    made = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10 * few)]
    for _, writer in made:
        writer.write(CLIENT_HELLO_BEGUN)
    yield [reader for reader, _ in made]
    for _, writer in made:
        writer.close()


async def healthy(files: Files, port: int) -> bool:
    context = ssl.create_default_context(cafile=str(files.authority))
    async with httpx.AsyncClient(verify=context) as http:
        return (await http.get(f"https://localhost:{port}/healthz")).status_code == 200


async def test_more_handshakes_than_may_be_keep_nobody_waiting(
    few: int, files: Files, port: int, stuck: list[asyncio.StreamReader]
) -> None:
    assert await healthy(files, port)
    async with asyncio.timeout(10):
        while sum(not _ended(reader) for reader in stuck) > few:
            await asyncio.sleep(0.01)
    assert await healthy(files, port)


async def test_a_handshake_has_no_more_time_than_the_head_of_a_request(
    client: Client, monkeypatch: pytest.MonkeyPatch, files: Files, port: int
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(CLIENT_HELLO_BEGUN)
    async with asyncio.timeout(10):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    writer.close()
    assert await healthy(files, port)


def _ended(reader: asyncio.StreamReader) -> bool:
    return reader.at_eof() or reader.exception() is not None
