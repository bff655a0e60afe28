"""Waiting for a service, with a sign of life on stderr."""

from __future__ import annotations

import time
from typing import Any

from howdah.cli.api import Api
from howdah.cli.output import note
from howdah.domain.errors import NotFound, Unavailable

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5
SAID_EVERY = 5.0


class _Progress:
    """Says each new state, and every few seconds that it still is the same."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._said = time.monotonic()
        self._state: str | None = None

    def see(self, state: str) -> None:
        now = time.monotonic()
        if state != self._state or now - self._said >= SAID_EVERY:
            note(f"{self._what}: {state} ({now - self._began:.1f} s)")
            self._state, self._said = state, now


def wait_until_running(api: Api, service: str, *, seconds: float) -> Any:
    """The service, once it runs. Raises Unavailable when it does not in time."""
    progress = _Progress(service)
    pause, deadline = FIRST_PAUSE, time.monotonic() + seconds
    while True:
        found = api.call("GET", f"/{service}")
        progress.see(found["state"])
        if found["state"] == "running":
            return found
        if time.monotonic() >= deadline:
            reason = api.reason(service) or "howdah doctor may know why"
            raise Unavailable(f"{service} is {found['state']} after {seconds:g} s: {reason}")
        time.sleep(pause)  # between two requests; the deadline bounds it
        pause = min(pause * 1.3, LONGEST_PAUSE)


def wait_until_gone(api: Api, service: str, *, seconds: float) -> None:
    """Returns once nothing of the service is left. Raises Unavailable when something is after ``seconds``."""
    progress = _Progress(service)
    pause, deadline = FIRST_PAUSE, time.monotonic() + seconds
    while True:
        try:
            progress.see(api.call("GET", f"/{service}")["state"])
        except NotFound:
            return
        if time.monotonic() >= deadline:
            raise Unavailable(f"{service} is still being deleted after {seconds:g} s; howdah doctor may know why")
        time.sleep(pause)  # between two requests; the deadline bounds it
        pause = min(pause * 1.3, LONGEST_PAUSE)
