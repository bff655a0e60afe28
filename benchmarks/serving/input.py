"""How a server of a benchmark knows that it has done its part."""

from __future__ import annotations

import asyncio
import sys


async def until_input_ends() -> None:
    await asyncio.to_thread(sys.stdin.read)
