"""Waiting for a service, with a sign of life on stderr."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from howdah.cli.api import Api, ApiError
from howdah.cli.output import note
from howdah.domain.errors import NotFound, Unavailable
from howdah.domain.states import HaType

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5
LONGEST_ARCHIVE_PAUSE = 2.0
"""Between two requests for which an archive is read."""

SAID_EVERY = 5.0


class _Wait:
    """Says each new state, and every few seconds that it still is the same; pauses longer and longer until it is over.

    seconds: until then. longest: of its pauses.
    """

    def __init__(self, what: str, seconds: float, longest: float = LONGEST_PAUSE) -> None:
        self._what = what
        self._began = self._said = time.monotonic()
        self._state: str | None = None
        self._end = self._began + seconds
        self._pause = FIRST_PAUSE
        self._longest = longest

    def see(self, state: str) -> None:
        now = time.monotonic()
        if state != self._state or now - self._said >= SAID_EVERY:
            note(f"{self._what}: {state} ({now - self._began:.1f} s)")
            self._state, self._said = state, now

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._end

    def pause(self) -> None:
        time.sleep(self._pause)  # between two requests; who waits asks whether it is over
        self._pause = min(self._pause * 1.3, self._longest)


def wait_until_running(api: Api, service: str, *, seconds: float) -> Any:
    """The service, once it runs. Raises Unavailable when it does not in time."""
    wait = _Wait(service, seconds)
    while True:
        found = api.call("GET", f"/{service}")
        wait.see(found["state"])
        if found["state"] == "running":
            return found
        if wait.over:
            reason = api.reason(service) or "howdah doctor may know why"
            raise Unavailable(f"{service} is {found['state']} after {seconds:g} s: {reason}")
        wait.pause()


def wait_until_whole(api: Api, service: str, *, seconds: float) -> Any:
    """The service, once it runs and its standbys, if it is to have some, could take over. Raises Unavailable when that
    is not so in time."""
    wait = _Wait(service, seconds)
    while True:
        found = api.call("GET", f"/{service}")
        lacks = None
        if found["state"] == "running" and found["isPrimary"]:
            lacks = _lacks(api.own("GET", f"/{service}/members")["members"], HaType(found["haType"]))
        wait.see(found["state"] if lacks is None else f"{found['state']}, {lacks}")
        if found["state"] == "running" and lacks is None:
            return found
        if wait.over:
            reason = lacks or api.reason(service) or "howdah doctor may know why"
            raise Unavailable(f"{service} is {found['state']} after {seconds:g} s: {reason}")
        wait.pause()


def wait_until_gone(api: Api, service: str, *, seconds: float) -> None:
    """Returns once nothing of the service is left. Raises Unavailable when something is after ``seconds``."""
    wait = _Wait(service, seconds)
    while True:
        try:
            wait.see(api.call("GET", f"/{service}")["state"])
        except NotFound:
            return
        if wait.over:
            raise Unavailable(f"{service} is still being deleted after {seconds:g} s; howdah doctor may know why")
        wait.pause()


def wait_until_restored(api: Api, service: str, *, seconds: float) -> Any:
    """The service, once it has been restored and runs. Raises Unavailable when it does not in time."""
    wait = _Wait(service, seconds)
    while True:
        restoring = _restoration(api.own("GET", f"/{service}/operations"))
        wait.see(restoring)
        if restoring == "running":
            return api.call("GET", f"/{service}")
        if wait.over:
            raise Unavailable(f"{service} is not restored after {seconds:g} s: {restoring}")
        wait.pause()


def wait_until_backed_up(api: Api, service: str, request: int, *, seconds: float) -> Any:
    """The base backup that answers the request, once there is one. Raises Unavailable when there is none in time."""
    wait = _Wait(service, seconds, LONGEST_ARCHIVE_PAUSE)
    while True:
        archive = api.own("GET", f"/{service}/backups")
        answers = [backup for backup in archive["backups"] if backup["request"] >= request]
        doing = "backed up" if answers else _backing_up(archive)
        wait.see(doing)
        if answers:
            return answers[-1]
        if wait.over:
            raise Unavailable(f"{service} is not backed up after {seconds:g} s: {doing}")
        wait.pause()


def wait_until_drilled(api: Api, service: str, started_at: str, *, seconds: float) -> Any:
    """The drill that began then, once it is over. Raises Unavailable when it is not in time, or nothing is left of it:
    an end of the server ends its drills."""
    wait = _Wait(service, seconds, LONGEST_ARCHIVE_PAUSE)
    while True:
        found = api.own("GET", f"/{service}/drills")
        drill = next((one for one in found["drills"] if one["startedAt"] == started_at), None)
        under_way = found["underWay"]
        gone = under_way is None or under_way["startedAt"] != started_at
        doing = _drilling(drill, under_way)
        wait.see(doing)
        if drill is not None:
            return drill
        if gone:
            raise Unavailable(f"the drill of {service} was interrupted; begin another one")
        if wait.over:
            raise Unavailable(f"{service} is not drilled after {seconds:g} s: {doing}")
        wait.pause()


@contextmanager
def left_to_itself(sentence: str) -> Generator[None]:
    """``sentence``: what is said when the waiting ends before what it waits for does."""
    try:
        yield
    except (KeyboardInterrupt, ApiError, Unavailable):
        note(sentence)
        raise


def _lacks(members: Sequence[Mapping[str, Any]], ha_type: HaType) -> str | None:
    """What is missing of its standbys, or is one too many, in words; None when nothing is."""
    standbys, wanted = [one for one in members if one["role"] == "standby"], HaType(ha_type).standbys
    if len(standbys) > wanted:
        return "a standby is being removed"
    ready = [one for one in standbys if one["state"] == "streaming" and one["canTakeOver"]]
    if len(ready) == wanted:
        return None
    return next(
        (f"a standby has failed: {one['reason']}" for one in standbys if one["state"] == "failed"),
        f"{len(ready)} of {wanted} standbys can take over",
    )


def _restoration(operations: Sequence[Mapping[str, Any]]) -> str:
    found = next(one for one in operations if one["operation"] == "restore")
    return found["state"] if found["detail"] is None else f"{found['state']}: {found['detail']}"


def _drilling(drill: Mapping[str, Any] | None, under_way: Mapping[str, Any] | None) -> str:
    if drill is not None:
        return "drilled" if drill["ok"] else "drilled, with problems"
    if under_way is None:
        return "interrupted"
    return under_way["problem"] or f"{under_way['doing']} ({under_way['percent']}%)"


def _backing_up(archive: Mapping[str, Any]) -> str:
    if archive["problem"] is not None:
        return archive["problem"]
    return "waiting for its turn" if archive["backupUnderWaySince"] is None else "a base backup is being taken"
