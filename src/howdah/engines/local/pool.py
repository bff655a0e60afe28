"""Data directories cloned ahead of time, so that a create does not wait for a copy."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from pathlib import Path

import structlog

from howdah.domain.errors import HowdahError
from howdah.engines.local.template import Template, clone
from howdah.launcher.files import spread_out, sync_filesystem

_READY = "ready-"
_TAKEN = "taken-"
_MAKING = "making-"
_PARALLEL_COPIES = 2
_QUIET = 0.5
"""Seconds without a claim before refilling begins: creates come first."""

_log = structlog.get_logger()


class SharedSync:
    """Syncs of one file system: those who wait at the same time share one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Return when a sync that began after this call has ended. Raises OSError."""
        if self._next is None:
            self._next = asyncio.create_task(self._run(self._running))
        await asyncio.shield(self._next)

    async def _run(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        await asyncio.to_thread(sync_filesystem, self._directory)


class Pool:
    """The ready clones of one template, in a directory of ours on the file system of the services."""

    def __init__(self, directory: Path, template: Template, *, size: int) -> None:
        self.directory = directory
        self._template = template
        self._size = size
        self._wanted = asyncio.Event()
        self._copies = asyncio.Semaphore(_PARALLEL_COPIES)
        self._sync = SharedSync(directory)
        self._filler: asyncio.Task[None] | None = None
        self._claims = 0

    async def start(self) -> None:
        """Throw away what a killed filler left, and begin to fill."""
        await asyncio.to_thread(self._clean)
        self._wanted.set()
        self._filler = asyncio.create_task(self._fill())

    async def close(self) -> None:
        if self._filler is not None:
            self._filler.cancel()
            await asyncio.gather(self._filler, return_exceptions=True)

    def ready(self) -> int:
        return sum(1 for _ in self.directory.glob(_READY + "*"))

    async def take(self) -> str:
        """A clone that is nobody else's, as ``<template>/<name>``: a ready one, else one that is copied now.

        Raises OSError.
        """
        self._claims += 1
        self._wanted.set()
        claimed = self._claim()
        if claimed is None:
            async with self._copies:
                claimed = self._claim()
                made = await asyncio.to_thread(self._make, False) if claimed is None else claimed
            if claimed is None:
                await self._sync()
                claimed = made
        return f"{self.directory.name}/{claimed.name}"

    def _claim(self) -> Path | None:
        for candidate in self.directory.glob(_READY + "*"):
            claimed = self.directory / (_TAKEN + secrets.token_hex(8))
            try:
                candidate.rename(claimed)
            except FileNotFoundError:
                continue
            return claimed
        return None

    async def _fill(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self.ready() < self._size:
                claims = self._claims
                await asyncio.sleep(_QUIET)
                if claims != self._claims:
                    continue
                try:
                    made = await asyncio.to_thread(self._make, True)
                    await self._sync()
                    made.rename(self.directory / (_READY + secrets.token_hex(8)))
                except (OSError, HowdahError) as error:
                    _log.warning("the pool of data directories cannot be filled", error=str(error))
                    break

    def _make(self, background: bool) -> Path:
        made = self.directory / (_MAKING + secrets.token_hex(8))
        try:
            clone(self._template, made, background=background)
        except (OSError, HowdahError):
            shutil.rmtree(made, ignore_errors=True)
            raise
        return made

    def _clean(self) -> None:
        # Passable: where the template cannot be cloned, initdb works in here as the system user.
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o711)
        spread_out(self.directory)
        for leftover in self.directory.iterdir():
            if not leftover.name.startswith(_READY):
                shutil.rmtree(leftover, ignore_errors=True)
