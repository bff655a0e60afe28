"""Speaks to the API in bytes on a socket."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

CLOSE = b"Host: x\r\nConnection: close\r\n"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Wire:
    port: int

    async def send(self, *pieces: bytes) -> Answer:
        """What comes back until the server closes; the last piece asks for that."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            async with asyncio.timeout(10):
                raw = await reader.read()
        finally:
            writer.close()
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        return Answer(int(first.split()[1]), {name.lower(): value for name, _, value in pairs}, body)
